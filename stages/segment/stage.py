"""The segment stage: prepared pictures in, the concepts of their scenes out."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from schemas.job import JobSpec
from schemas.masks import encode_mask
from schemas.outcomes import SceneOutput, SceneTask
from stages.masks.shapes import Mask, border_share, bounding_box
from stages.models.clip import load_clip
from stages.models.device import pick_device
from stages.pictures import read_mask, read_picture
from stages.segment.faults import NoConcept
from stages.segment.proposal import Proposals
from stages.segment.segmenters import Segmenter, load_segmenter
from stages.segment.selection import Candidate, select_concepts
from stages.segment.why_none import why_none
from stages.segment.words import Namer
from stages.stage import StageContext, failed

log = logging.getLogger(__name__)

MASK_MEMBER = re.compile(r"mask(\d+)\.png")
LEAST_BACKGROUND = 0.01
"""A background that covers less of the picture is not worth a handle."""


@dataclass(frozen=True)
class Concept:
    """mask: bool [side, side]. origin: `sam`, `own` or `background`. choice: what selection knows of a `sam` mask.
    word_score: similarity of a word out of `segment.vocabulary`. given: where an `own` mask came from."""

    mask: Mask
    origin: str
    word: str | None = None
    choice: Candidate | None = None
    word_score: float | None = None
    given: str | None = None

    def row(self, scene_id: str, index: int) -> dict[str, Any]:
        """The row of CONCEPTS."""
        area = int(self.mask.sum())
        proposal = self.choice.proposal if self.choice else None
        return {
            "scene_id": scene_id,
            "index": index,
            "mask": encode_mask(self.mask),
            "bbox": list(bounding_box(self.mask)),
            "area": area,
            "area_share": area / self.mask.size,
            "predicted_iou": proposal.predicted_iou if proposal else None,
            "stability_score": proposal.stability_score if proposal else None,
            "border_share": border_share(self.mask),
            "score": self.choice.score if self.choice else None,
            "word": self.word,
            "word_score": self.word_score,
            "origin": self.origin,
            "given": self.given,
        }


class SegmentStage:
    """Concepts of a scene: its own masks if it has any, else what selection finds among Segment Anything's.

    Found concepts are disjoint, best first. Own masks are taken as they are, overlaps and all, in their order, with
    their words; no area or border rule applies. Of more than `segment.max_concepts` the largest stay, since the method
    fails with many (six, in the paper); a warning says which went, and the scene's `words` still count them all.
    The background, when asked for, comes last and on top of `max_concepts`. With `segment.vocabulary` a concept that
    has no word gets the one that fits it best."""

    name: ClassVar[str] = "segment"
    table: ClassVar[str] = "concepts"
    needs: ClassVar[tuple[str, ...]] = ("scenes",)
    files: ClassVar[tuple[str, ...]] = ("scenes",)

    def __init__(self, spec: JobSpec, context: StageContext) -> None:
        self._spec, self._context = spec, context
        self._segmenter: Segmenter | None = None
        self._namer: Namer | None = None

    def prepare(self) -> None:
        """Nothing is computed once a run."""

    def setup(self) -> None:
        """Load Segment Anything, and the CLIP where a vocabulary asks for it, on the GPU if there is one."""
        self._segmenter = load_segmenter(self._spec)
        if self._spec.segment.vocabulary:
            clip = load_clip(self._spec.models.clip, str(pick_device()), torch.float32)
            self._namer = Namer(clip, self._spec.segment.vocabulary)

    def process(self, tasks: Sequence[SceneTask]) -> Iterator[SceneOutput]:
        """One output per task, in order: rows of CONCEPTS and no files, or a failure. Pictures that need Segment
        Anything go through it side by side."""
        started = [self._start(task) for task in tasks]
        found = self._proposals([start for start in started if isinstance(start, np.ndarray)])
        for number, (task, start) in enumerate(zip(tasks, started, strict=True), 1):
            given = next(found) if isinstance(start, np.ndarray) else start
            try:
                if isinstance(given, Exception):
                    raise given
                concepts = self._named(task, self._concepts(task, given))
                rows = [concept.row(task.scene_id, i) for i, concept in enumerate(concepts)]
            except Exception as error:  # one bad scene costs one scene
                yield failed(task.scene_id, error)
            else:
                yield SceneOutput(task.scene_id, rows=rows)
            self._context.progress({"share": number / len(tasks), "picture": number, "pictures": len(tasks)})

    def _start(self, task: SceneTask) -> list[Concept] | NDArray[np.uint8] | Exception:
        """The scene's own concepts, else its picture [side, side, 3] to look for some in, or why it has neither."""
        try:
            return _own_concepts(task) or read_picture(task.files["png"])
        except Exception as error:
            return error

    def _proposals(self, pictures: list[NDArray[np.uint8]]) -> Iterator[Proposals | Exception]:
        if not pictures:
            return
        if self._segmenter is None:
            raise RuntimeError("SegmentStage.process was called before setup")
        yield from self._segmenter.propose_all(pictures)

    def _concepts(self, task: SceneTask, given: list[Concept] | Proposals) -> list[Concept]:
        """Of the scene's own concepts or of proposals. Raises NoConcept."""
        if isinstance(given, Proposals):
            all_ = concepts = self._chosen(given)
        else:
            all_, concepts = given, self._largest(task, given)
        if self._spec.segment.background:
            rest = ~np.logical_or.reduce([concept.mask for concept in all_])
            if rest.mean() >= LEAST_BACKGROUND:
                concepts = [*concepts, Concept(rest, "background", "background")]
        return concepts

    def _named(self, task: SceneTask, concepts: list[Concept]) -> list[Concept]:
        """The same concepts, those without a word with one of the vocabulary, if there is a vocabulary."""
        nameless = [concept.mask for concept in concepts if concept.word is None]
        if self._namer is None or not nameless:
            return concepts
        found = iter(self._namer.name(read_picture(task.files["png"]), nameless))
        named = []
        for concept in concepts:
            if concept.word is None:
                word, score = next(found)
                concept = replace(concept, word=word, word_score=score)
            named.append(concept)
        return named

    def _chosen(self, proposals: Proposals) -> list[Concept]:
        selection = select_concepts(proposals, self._spec.segment)
        if not selection.concepts:
            raise NoConcept(why_none(self._spec, proposals, selection))
        return [Concept(choice.mask, "sam", None, choice) for choice in selection.concepts]

    def _largest(self, task: SceneTask, own: list[Concept]) -> list[Concept]:
        most = self._spec.segment.max_concepts
        order = sorted(range(len(own)), key=lambda i: (-int(own[i].mask.sum()), i))
        if order[most:]:
            log.warning(
                "scene %s: of %d own masks the %d largest are used, numbers %s are not; raise "
                "segment.max_concepts to use them",
                task.scene_id,
                len(own),
                most,
                sorted(order[most:]),
            )
        return [own[i] for i in sorted(order[:most])]


def _own_concepts(task: SceneTask) -> list[Concept]:
    """The scene's given masks in the order of their numbers, with the words of its row; [] if it has none."""
    numbered = sorted(
        (int(match[1]), data) for name, data in task.files.items() if (match := MASK_MEMBER.fullmatch(name))
    )
    scene = (task.rows.get("scenes") or [{}])[0]
    words = scene.get("words") or [None] * len(numbered)
    sources = {mask["number"]: mask["name"] for mask in scene.get("masks") or []}
    return [
        Concept(read_mask(data), "own", word, given=sources.get(number))
        for (number, data), word in zip(numbered, words, strict=True)
    ]

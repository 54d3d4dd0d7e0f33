"""What the judges and the segmenter say of a scene's variations, several pictures at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.job import Segment
from stages.evaluate.copies import Thumbnail, contrast, thumbnail
from stages.evaluate.instances import Instance, counts, parts
from stages.evaluate.matching import assign, detect
from stages.evaluate.source_scene import SourceScene, finite
from stages.masks.shapes import Mask
from stages.masks.views import on_black
from stages.models.clip import BATCH, ClipJudge
from stages.models.identity import IdentityJudge
from stages.segment.segmenters import Segmenter
from stages.segment.selection import select_concepts

MOST_OBJECTS = 16
"""Masks of one picture that are looked at: the most that `segment.max_concepts` may say."""
MOSTLY = 0.5
"""A mask with less of itself inside the region that is looked at is none of it."""


@dataclass(frozen=True)
class Judged:
    """One variation. identity: one a concept asked for; instances: the masks that show a concept of the scene, on what
    was looked at; together: one a concept of the scene, the cosine of all its masks as one where there are several, or
    None; size: (height, width)."""

    prompt_similarity: float
    identity: list[float]
    instances: list[Instance]
    together: list[float | None]
    contrast: float
    small: Thumbnail
    size: tuple[int, int]

    @property
    def found(self) -> list[int]:
        """How many masks show each concept of the scene."""
        return counts(self.instances, len(self.together))


class Judges:
    """A CLIP for prompts, an identity judge, and the segmenter that finds concepts, with the spec's own settings."""

    def __init__(self, clip: ClipJudge, identity: IdentityJudge, segmenter: Segmenter, segment: Segment) -> None:
        self.clip, self.identity, self.segmenter = clip, identity, segmenter
        self._segment = segment.model_copy(update={"max_concepts": MOST_OBJECTS})

    def judge(
        self,
        scene: SourceScene,
        rows: Sequence[Mapping[str, Any]],
        pictures: Sequence[NDArray[np.uint8]],
        within: Sequence[Mask | None] | None = None,
    ) -> list[Judged]:
        """One a row of VARIATIONS, with its picture [h, w, 3]; all pictures are of one size. within: a picture's region
        [h, w], where only what is in it counts."""
        looked = [_all_of(picture, mask) for picture, mask in zip(pictures, within or [None] * len(rows), strict=True)]
        prompts = self._prompt_similarities(np.stack(pictures), [row["text"] for row in rows])
        objects = [
            self._objects(proposals, mask)
            for proposals, mask in zip(self.segmenter.propose_all(pictures), looked, strict=True)
        ]
        compared = [
            self._compare(scene, row, picture, masks, ground, views, prompt)
            for row, picture, masks, ground, views, prompt in zip(
                rows, pictures, objects, looked, self._views(pictures, objects, looked), prompts, strict=True
            )
        ]
        return self._put_together(scene, pictures, compared)

    def _prompt_similarities(self, pictures: NDArray[np.uint8], texts: list[str]) -> list[float]:
        different = list(dict.fromkeys(texts))
        read = dict(zip(different, self.clip.text_features(different), strict=True))
        seen = self.clip.image_features(pictures)
        cosines = [float(picture @ read[text]) for picture, text in zip(seen, texts, strict=True)]
        finite(np.asarray(cosines))
        return cosines

    def _objects(self, proposals: Any, within: Mask) -> list[Mask]:
        """Disjoint masks of the things in a picture, found as concepts are found in a source picture: of those that lie
        mostly within."""
        if isinstance(proposals, Exception):
            raise proposals
        inside = [replace(found, mask=found.mask & within) for found in proposals]
        kept = [
            part for part, found in zip(inside, proposals, strict=True) if part.mask.sum() >= MOSTLY * found.mask.sum()
        ]
        return [candidate.mask for candidate in select_concepts(kept, self._segment).concepts]

    def _views(
        self, pictures: Sequence[NDArray[np.uint8]], objects: Sequence[Sequence[Mask]], looked: Sequence[Mask]
    ) -> Iterator[NDArray[np.float32]]:
        """For each picture features [2 + m, d]: of all that is looked at, what no mask covers, and each of m masks."""
        shown = [
            (picture, mask)
            for picture, masks, ground in zip(pictures, objects, looked, strict=True)
            for mask in (ground, uncovered(ground, masks), *masks)
        ]
        ends = np.cumsum([2 + len(masks) for masks in objects])[:-1]
        yield from np.split(self._features(shown), ends)

    def _features(self, shown: Sequence[tuple[NDArray[np.uint8], Mask]]) -> NDArray[np.float32]:
        """Of each picture [h, w, 3] what its mask [h, w] shows: [n, d]."""
        features = [
            self.identity.features(np.stack([on_black(*pair) for pair in shown[start : start + BATCH]])).numpy()
            for start in range(0, len(shown), BATCH)
        ]
        return finite(np.concatenate(features))

    def _put_together(
        self, scene: SourceScene, pictures: Sequence[NDArray[np.uint8]], compared: list[Judged]
    ) -> list[Judged]:
        """The same, with what a concept's masks are like as one where it has several: two copies of a thing are less
        like it than the better one alone, and a thing in pieces is more so."""
        several = [
            (number, index, parts(one.instances)[index])
            for number, one in enumerate(compared)
            for index, count in enumerate(one.found)
            if count > 1
        ]
        if several:
            features = self._features([(pictures[number], mask) for number, _, mask in several])
            likeness = scene.similarities(features)
            for place, (number, index, _) in enumerate(several):
                compared[number].together[index] = float(likeness[index, place])
        return compared

    def _compare(
        self,
        scene: SourceScene,
        row: Mapping[str, Any],
        picture: NDArray[np.uint8],
        masks: list[Mask],
        looked: Mask,
        views: NDArray[np.float32],
        prompt: float,
    ) -> Judged:
        whole, rest, objects = np.split(scene.similarities(views), [1, 2], axis=1)
        asked = [int(index) for index in row["concepts"]]
        given = assign(objects, [index for index in asked if index in scene.things])
        identity = [
            float(
                rest[index, 0]
                if index == scene.ground and masks
                else objects[index, given[index]]
                if index in given
                else whole[index, 0]
            )
            for index in asked
        ]
        instances = [
            Instance(index, mask, float(objects[index, number]))
            for number, (mask, index) in enumerate(
                zip(masks, detect(objects, scene.things, scene.found_at), strict=True)
            )
            if index is not None
        ]
        ground = uncovered(looked, masks)
        if scene.ground is not None and ground.any() and rest[scene.ground, 0] >= scene.found_at:
            instances.append(Instance(scene.ground, ground, float(rest[scene.ground, 0])))
        together: list[float | None] = [None] * len(scene.features)
        return Judged(prompt, identity, instances, together, contrast(picture), thumbnail(picture), picture.shape[:2])


def uncovered(looked: Mask, masks: Sequence[Mask]) -> Mask:
    """Where of what is looked at none of the masks is, bool [h, w]."""
    covered: Mask = np.logical_or.reduce([~looked, *masks])
    return ~covered


def _all_of(picture: NDArray[np.uint8], region: Mask | None) -> Mask:
    return np.ones(picture.shape[:2], bool) if region is None else region

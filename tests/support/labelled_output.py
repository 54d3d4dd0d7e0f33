"""A SampleOutput whose pictures have masks that are known: what `unscene dataset` is tested on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from schemas.masks import encode_mask
from schemas.outcomes import SceneOutput
from stages.masks.label_mask import label_mask
from tests.support.sample_output import SIDE, SampleOutput, half_masks

Found = Callable[[int, int, Sequence[int]], list[int]]
"""(number of the scene, number of its picture, concepts asked for) -> how often each of its two concepts is found."""


def as_asked(scene: int, number: int, asked: Sequence[int]) -> list[int]:
    """Every concept asked for once, and nothing else."""
    return [int(index in asked) for index in range(2)]


class LabelledOutput(SampleOutput):
    """words: of the two concepts of every scene. given: masks that every picture came with; unused: name -> why it was
    not used, of masks besides. placed: whether the new ones are placed, each into the upper half; into: the given
    picture that they are placed into, if it is not their own. found: what the new ones show: a concept fills its half
    of the picture (less a margin), one that is found twice two strips of it, and one that is found three times is in
    three pieces, which touch. earlier: whether it was scored by an Unscene that gave masks no ids. crowds: of given
    masks, whether they are marked iscrowd; those beyond do not say so."""

    def __init__(
        self,
        folder: Path,
        scenes: int = 4,
        words: Sequence[str | None] = ("cat", "dog"),
        found: Found = as_asked,
        given: int = 0,
        unused: Mapping[str, str] | None = None,
        placed: bool = False,
        into: str | None = None,
        earlier: bool = False,
        crowds: Sequence[bool | None] = (),
        **options: Any,
    ) -> None:
        self.words, self.found, self.given, self.unused = words, found, given, unused or {}
        self.placed, self.into, self.earlier = placed or into is not None, into, earlier
        self.crowds = [*crowds, *[None] * given][:given]
        super().__init__(folder, scenes, **options)

    def _output(self, stage: str, scene_id: str, row: dict[str, Any]) -> SceneOutput:
        output = super()._output(stage, scene_id, row)
        if stage == "ingest":
            for scene in output.rows:
                scene["words"] = ["cat"] * self.given
                scene["masks"] = [
                    {"name": str(n), "number": n, "reason": None, "crowd": crowd} for n, crowd in enumerate(self.crowds)
                ]
                scene["masks"] += [{"name": n, "number": None, "reason": why} for n, why in self.unused.items()]
        if stage == "segment":
            for concept in output.rows:
                concept["word"] = self.words[concept["index"]]
                concept["origin"] = "own" if self.given else "sam"
                concept["given"] = str(concept["index"]) if self.given else None
        if stage == "generate" and self.placed:
            for variation in output.rows:
                variation |= {"mode": "place", "into": self.into, "region": encode_mask(upper_half())}
        if stage == "evaluate":
            for number, score in enumerate(output.rows):
                score["found"] = self.found(self.number_of(scene_id), number, score["concepts"])
                score["complete"] = all(score["found"][index] == 1 for index in score["concepts"])
                output.files[score["mask"]] = label_mask((SIDE, SIDE), shown(score["found"]))
                if not self.earlier:
                    score["instance"] = f"{score['key']}.instance.png"
                    output.files[score["instance"]] = label_mask((SIDE, SIDE), dict(enumerate(copies(score["found"]))))
                    score |= told_of(score["found"])
        return output


def upper_half() -> np.ndarray:
    """Where placed pictures are drawn, bool [SIDE, SIDE]."""
    return np.indices((SIDE, SIDE))[0] < SIDE // 2


def shown(found: Sequence[int]) -> dict[int, np.ndarray]:
    """Concept -> where it is, bool [SIDE, SIDE]."""
    parts = {}
    for index, count in enumerate(found):
        if count:
            parts[index] = half_masks()[index]
        if count == 2:
            parts[index][14:18] = False
    return parts


def copies(found: Sequence[int]) -> list[np.ndarray]:
    """Each mask that is found, in the order of their ids, bool [SIDE, SIDE]."""
    rows = np.indices((SIDE, SIDE))[0]
    cuts = {1: [0, SIDE], 2: [0, SIDE // 2, SIDE], 3: [0, 12, 20, SIDE]}
    parts = shown(found)
    return [
        parts[index] & (rows >= top) & (rows < end)
        for index, count in enumerate(found)
        if count
        for top, end in pairwise(cuts[count])
    ]


def told_of(found: Sequence[int]) -> dict[str, Any]:
    """What a row of SCORES says of each of these: copies are less like their concept together, pieces more so."""
    concepts = [index for index, count in enumerate(found) for _ in range(count)]
    return {
        "instances": [{"id": n, "concept": index, "likeness": 0.9} for n, index in enumerate(concepts, start=1)],
        "together": [{2: 0.7, 3: 0.95}.get(count) for count in found],
    }

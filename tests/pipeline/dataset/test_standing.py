"""Labels of what stands in a real picture beside the region that was drawn into, and what the tables say of it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from pipeline.dataset.choices import Choices, Format
from pipeline.dataset.classes import Classes
from pipeline.dataset.labels import semantic, things_found, things_of_scene
from pipeline.dataset.making import make_dataset
from pipeline.dataset.picking import Pick, Picker
from pipeline.dataset.source import SceneRows
from pipeline.storage.folder import Storage
from schemas.masks import encode_mask
from schemas.outcomes import SceneOutput
from stages.masks.label_mask import label_mask
from tests.support.sample_output import SIDE, SampleOutput


def picked(instances: list[tuple[int, int, float | None]], **told: Any) -> list[Pick]:
    """Of a scene with a cat and a dog and one placed picture, which was to show the dog. instances: (id, concept,
    likeness)."""
    found = [sum(concept == index for _, concept, _ in instances) for index in range(2)]
    row = {
        "concepts": [1],
        "found": found,
        "keep": True,
        "file": "s-0000.png",
        "mask": "s-0000.mask.png",
        "instance": "s-0000.instance.png",
        "instances": [{"id": n, "concept": index, "likeness": likeness} for n, index, likeness in instances],
        **told,
    }
    concepts = [{"index": index, "word": word, "origin": "own", "area": 9} for index, word in enumerate(("cat", "dog"))]
    scene = SceneRows("s", 0, concepts, ["s-0000"], {"s-0000": row}, None, frozenset({"s-0000"}))
    return [
        pick
        for pick in Picker(Choices(Format.COCO), Classes(("cat", "dog")), frozenset()).picked(scene)
        if not pick.real
    ]


@pytest.mark.parametrize(("cats", "in_"), [([None], 1), ([0.9, None], 1), ([0.9, 0.8], 0), ([0.9, 0.8, None], 0)])
def test_what_is_told_of_several_together_is_of_those_that_were_drawn(cats: list[float | None], in_: int) -> None:
    """A mask of a placed picture may have lost its pixels after it was judged."""
    concepts = [*((0, likeness) for likeness in cats), (1, 0.9)]
    found = picked([(n, *each) for n, each in enumerate(concepts, 1)], together=[0.95, None])
    assert len(found) == in_


class OverlappingOutput(SampleOutput):
    """Scenes of a cat that lies on a sofa, each with a placed picture of it and room for more. masks: theirs; region:
    where the new ones were drawn, with a second cat in it; listed: whether scores list the sofa."""

    def __init__(self, folder: Path, masks: Sequence[np.ndarray], region: np.ndarray, listed: bool = True) -> None:
        self.masks, self.region, self.listed = masks, region, listed
        super().__init__(folder, 2)  # the last one fails, and has no new pictures

    def _output(self, stage: str, scene_id: str, row: dict[str, Any]) -> SceneOutput:
        output = super()._output(stage, scene_id, row)
        if stage == "segment":
            for concept, mask, word in zip(output.rows, self.masks, ("cat", "sofa"), strict=True):
                concept |= {"mask": encode_mask(mask), "area": int(mask.sum()), "word": word, "origin": "own"}
        if stage == "generate":
            for variation in output.rows:
                variation |= {"mode": "place", "into": None, "region": encode_mask(self.region)}
        if stage == "evaluate":
            for score in output.rows:
                cat, sofa = (mask & ~self.region for mask in self.masks)
                shown = [self.region, cat, sofa & ~cat][: 2 + self.listed]
                score |= {
                    "concepts": [0],
                    "found": [2, int(self.listed)],
                    "instance": f"{score['key']}.instance.png",
                    "instances": [
                        {"id": number, "concept": concept, "likeness": likeness}
                        for number, concept, likeness in ((1, 0, 0.9), (2, 0, None), (3, 1, None))[: len(shown)]
                    ],
                    "together": [None, None],
                }
                output.files[score["instance"]] = label_mask((SIDE, SIDE), dict(enumerate(shown)))
        return output


def box(top: int, left: int, height: int, width: int) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[top : top + height, left : left + width] = True
    return mask


CAT, REGION = box(4, 4, 8, 8), box(20, 20, 10, 10)


@pytest.mark.parametrize("sofa", [box(2, 2, 16, 28), box(8, 8, 10, 20), box(2, 2, 26, 26)])
def test_what_stands_beside_a_region_is_labelled_as_in_the_real_picture(sofa: np.ndarray, tmp_path: Path) -> None:
    """Held by another, beside it, and where the region covers some of that one."""
    output = OverlappingOutput(tmp_path / "out", (CAT, sofa), REGION)
    list(make_dataset(Storage(output.storage.url), Choices(Format.COCO, validation=0.0), str(tmp_path / "set"), 2**29))
    read = COCO(tmp_path / "set" / "train" / "_annotations.coco.json")
    real, *new, _ = read.imgs.values()
    assert len(new) == 3
    there = [read.annToMask(thing).astype(bool) for thing in read.imgToAnns[real["id"]]]
    assert all((one == mask).all() for one, mask in zip(there, (CAT, sofa), strict=True))
    for image in new:
        drawn, *beside = (read.annToMask(thing).astype(bool) for thing in read.imgToAnns[image["id"]])
        assert (drawn == REGION).all()
        assert all((one == mask & ~REGION).all() for one, mask in zip(beside, there, strict=True))


def test_painted_labels_of_both_pictures_are_alike_outside_the_region() -> None:
    """Also where the region leaves less of the larger thing than the smaller one has."""
    cat, sofa, region = CAT, box(4, 10, 26, 4), box(9, 0, 23, 32)
    instances, classes = [(1, 0, 0.9), (2, 0, None), (3, 1, None)], {0: 1, 1: 2}
    (pick,) = picked(instances, concepts=[0])
    score_mask = label_mask((SIDE, SIDE), {0: region, 1: cat & ~region, 2: sofa & ~cat & ~region})
    own = {0: cat, 1: sofa}
    rows = [{"index": index, "mask": encode_mask(mask)} for index, mask in own.items()]
    new = np.asarray(Image.open(io.BytesIO(semantic(things_found(pick, score_mask, region, own), 2))))
    real = np.asarray(Image.open(io.BytesIO(semantic(things_of_scene(replace(pick, classes=classes), rows), 2))))
    assert np.array_equal(new[~region], real[~region])


def test_a_thing_that_smaller_ones_cover_wholly_leaves_its_placed_pictures_out(tmp_path: Path) -> None:
    """It has a label in the real picture; what tells of it in the new one is nothing."""
    output = OverlappingOutput(tmp_path / "out", (CAT, CAT), REGION, listed=False)
    choices = Choices(Format.COCO, validation=0.0)
    lines = list(make_dataset(Storage(output.storage.url), choices, str(tmp_path / "set"), 2**29))
    assert any("3 placed into a real picture with a thing that smaller ones cover wholly" in line for line in lines)

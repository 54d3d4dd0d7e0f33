"""Labels of what stands in a real picture beside the region that was drawn into, and what the tables say of it."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.dataset.choices import Choices, Format
from pipeline.dataset.classes import Classes
from pipeline.dataset.picking import Pick, Picker
from pipeline.dataset.source import SceneRows


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

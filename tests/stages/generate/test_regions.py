"""Where a concept is drawn: in another's place, where none is, and never over what else stands there."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.generate import Generate, Place
from stages.generate.prompts import Variation, list_variations
from stages.generate.regions import free_place, in_place_of, region_of
from stages.masks.shapes import Mask, bounding_box

SIDE = 64


def rectangle(top: int, left: int, height: int, width: int) -> Mask:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[top : top + height, left : left + width] = True
    return mask


def disc(row: int, column: int, radius: int) -> Mask:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    found: Mask = (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
    return found


@pytest.mark.parametrize("shape", ["box", "mask"])
def test_in_the_place_of_another_covers_it_whole_and_nothing_else_that_stands_there(shape: str) -> None:
    replaced, near = disc(30, 30, 10), rectangle(20, 41, 20, 12)
    region = in_place_of(replaced, [near], Place(shape=shape, grow=4 / SIDE))
    assert region[replaced].all()
    assert not region[near].any()
    assert region[30, 17], "it reaches around the concept"
    assert bool(region[17, 17]) == (shape == "box")
    assert np.array_equal(in_place_of(replaced, [], Place(shape=shape, grow=0)), replaced) == (shape == "mask")


def test_masks_that_lie_over_each_other_leave_the_replaced_one_whole() -> None:
    replaced = rectangle(10, 10, 20, 20)
    assert in_place_of(replaced, [rectangle(0, 0, 64, 64)], Place())[replaced].all()


@pytest.mark.parametrize("shape", ["box", "mask"])
def test_a_free_place_is_as_large_as_the_concept_and_covers_none(shape: str) -> None:
    asked, other = disc(12, 12, 8), rectangle(40, 0, 24, 30)
    places = set()
    for seed in range(20):
        dice = np.random.default_rng(seed)
        region = free_place([asked], [asked, other], Place(shape=shape, grow=0), dice)
        assert not (region & (asked | other)).any()
        assert bounding_box(region)[2:] == (17, 17)
        assert int(region.sum()) == (289 if shape == "box" else int(asked.sum()))
        places.add(bounding_box(region)[:2])
    assert len(places) > 15, "each place is as likely"


def test_where_none_of_its_size_is_free_it_is_smaller_and_then_covers_the_least() -> None:
    asked = rectangle(0, 0, 40, 64)
    smaller = free_place([asked], [asked], Place(grow=0), np.random.default_rng(0))
    assert not (smaller & asked).any()
    assert bounding_box(smaller)[2:] == (32, 20), "half of 64 x 40"
    everywhere = rectangle(0, 0, 64, 64)
    everywhere[50:54, 50:54] = False
    region = free_place([rectangle(0, 0, 16, 16)], [everywhere], Place(grow=0), np.random.default_rng(0))
    assert region[51:53, 51:53].all(), "with a pixel around what stands there"
    assert bounding_box(region)[2:] == (8, 8)


def test_it_is_never_larger_than_the_picture() -> None:
    region = free_place([rectangle(0, 0, 64, 64)], [rectangle(0, 0, 2, 2)], Place(grow=0.25), np.random.default_rng(0))
    assert region.shape == (SIDE, SIDE)
    assert region.any()


def test_each_other_concept_is_replaced_in_turn_and_the_background_never() -> None:
    settings = Generate(mode="place", images_per_prompt=3)
    pictures = list_variations("s", ["<a>", "<b>", "<c>", "<d>"], ["cat", "dog", "cup", "wall"], settings, background=3)
    assert [(picture.concepts, picture.replaced) for picture in pictures] == [
        *(((0,), other) for other in (1, 2, 1)),
        *(((1,), other) for other in (0, 2, 0)),
        *(((2,), other) for other in (0, 1, 0)),
        *(((3,), other) for other in (0, 1, 2)),
    ]
    assert [picture.number for picture in pictures] == list(range(12))
    assert pictures[0].prompt == "a photo of <a>"
    assert len({picture.purpose for picture in pictures}) == 12
    alone = list_variations("s", ["<a>", "<b>"], ["cat", "wall"], settings, background=1)
    assert [(picture.concepts, picture.replaced) for picture in alone] == [((1,), 0)] * 3, "the scene without its cat"
    added = Generate(mode="place", place={"region": "add"}, images_per_prompt=1)
    assert [p.concepts for p in list_variations("s", ["<a>", "<b>"], ["cat", "wall"], added, 1)] == [(0,)]


def test_a_place_is_the_seed_s_and_the_picture_s() -> None:
    masks = [disc(12, 12, 6), disc(40, 40, 6)]

    def region(seed: int, repeat: int) -> Mask:
        picture = Variation("s", 0, "{handles}", (0,), repeat, "", "", placed=True)
        return region_of(picture, masks, None, Place(region="add"), seed)

    assert np.array_equal(region(0, 0), region(0, 0))
    assert not np.array_equal(region(0, 0), region(1, 0))
    assert not np.array_equal(region(0, 0), region(0, 1))

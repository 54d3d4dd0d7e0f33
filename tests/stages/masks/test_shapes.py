"""Measures of single masks: boxes, borders, connected regions, specks."""

from __future__ import annotations

import numpy as np
import pytest

from stages.masks.shapes import border_share, bounding_box, grow, label_regions, outline, without_specks


def drawing(text: str) -> np.ndarray:
    """A mask from lines of `#` and `.`."""
    return np.array([[c == "#" for c in line] for line in text.split()])


def regions_by_flooding(mask: np.ndarray) -> list[int]:
    """Region areas by the slow way: flood from each pixel not yet seen."""
    left, areas = {tuple(p) for p in np.argwhere(mask).tolist()}, []
    while left:
        seen = [left.pop()]
        for y, x in seen:
            for near in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
                if near in left:
                    left.remove(near)
                    seen.append(near)
        areas.append(len(seen))
    return sorted(areas)


@pytest.mark.parametrize("density", [0.2, 0.5, 0.6, 0.9])
def test_regions_agree_with_flooding(density: float) -> None:
    mask = np.random.default_rng(7).random((33, 41)) < density
    labels, areas = label_regions(mask)
    assert sorted(areas.tolist()) == regions_by_flooding(mask)
    assert np.array_equal(labels > 0, mask)
    named, first = np.unique(labels, return_index=True)
    assert np.all(np.diff(first[named > 0]) > 0), "1 ... n in reading order"
    assert np.array_equal(np.bincount(labels.ravel(), minlength=len(areas) + 1)[1:], areas)
    below, right = labels[:-1] * mask[1:], labels[:, :-1] * mask[:, 1:]
    assert np.array_equal(below, labels[1:] * mask[:-1]), "vertical neighbours have one label"
    assert np.array_equal(right, labels[:, 1:] * mask[:, :-1]), "horizontal neighbours have one label"


def test_a_spiral_is_one_region_and_a_full_row_does_not_wrap() -> None:
    spiral = drawing("""
        #######
        ......#
        #####.#
        #...#.#
        #.###.#
        #.....#
        #######""")
    assert label_regions(spiral)[1].tolist() == [int(spiral.sum())]
    assert label_regions(drawing("###  ...  ###"))[1].tolist() == [3, 3]
    assert label_regions(np.zeros((4, 4), bool))[1].size == 0


def test_box_and_border() -> None:
    mask = np.zeros((10, 20), bool)
    mask[2:5, 0:7] = True
    assert bounding_box(mask) == (0, 2, 7, 3)
    assert border_share(mask) == pytest.approx(3 / 56)
    assert border_share(np.ones((10, 20), bool)) == 1.0
    assert bounding_box(np.zeros((3, 3), bool)) == (0, 0, 0, 0)


def test_outline_and_growth() -> None:
    square = np.zeros((9, 9), bool)
    square[3:6, 3:6] = True
    assert outline(square).sum() == 8
    assert not outline(square)[4, 4]
    assert grow(square, 2).sum() == 9 + 4 * 3 + 4 * 3 + 4  # two steps along each side, and the four corners between
    assert not outline(np.ones((5, 5), bool)).any()


def test_specks_go_and_shape_stays() -> None:
    mask = np.zeros((100, 100), bool)
    mask[10:60, 10:60] = True  # 2500 pixels
    mask[30:33, 30:33] = False  # pinhole
    mask[40:55, 40:55] = False  # a hole that is shape
    mask[80:83, 80:83] = True  # stray island
    mask[70:90, 10:30] = True  # the other half of an occluded object
    mask[10:60, 0:2] = False
    clean = without_specks(mask, island=0.05, hole=0.02)
    assert clean[31, 31], "pinhole filled"
    assert not clean[47, 47], "real hole kept"
    assert not clean[81, 81], "island gone"
    assert clean[75, 20], "second part kept"


def test_a_notch_at_the_edge_is_not_a_hole() -> None:
    mask = np.ones((50, 50), bool)
    mask[0:3, 20:23] = False
    mask[25:28, 20:23] = False
    clean = without_specks(mask, island=0.05, hole=0.02)
    assert not clean[1, 21]
    assert clean[26, 21]


def test_cleaning_does_not_depend_on_where_the_thing_is() -> None:
    thing = np.zeros((60, 60), bool)
    thing[5:25, 5:30] = True
    thing[12:14, 12:14] = False
    clean = without_specks(thing, island=0.05, hole=0.02)
    moved = without_specks(np.roll(thing, (33, 27), axis=(0, 1)), island=0.05, hole=0.02)
    assert clean.sum() == 20 * 25
    assert np.array_equal(np.roll(clean, (33, 27), axis=(0, 1)), moved)
    assert not without_specks(np.zeros((8, 8), bool), 0.05, 0.02).any()

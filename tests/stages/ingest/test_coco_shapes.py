"""Segmentations of COCO annotations: every way to write one gives the same mask, and damage is told, never drawn."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco

from stages.ingest.given_masks.coco_shapes import draw, fault_within, read_shape

WIDTH, HEIGHT = 60, 40
INSIDE = np.zeros((HEIGHT, WIDTH), bool)
INSIDE[10:30, 20:50] = True
POLYGON = [20.0, 10.0, 50.0, 10.0, 50.0, 30.0, 20.0, 30.0]
PAIRS = [[20, 10], [50, 10], [50, 30], [20, 30]]


def runs(mask: np.ndarray) -> list[int]:
    """COCO's uncompressed counts: lengths of runs in column order, zeros first."""
    flat = np.concatenate([[0], mask.ravel(order="F").astype(int)])
    edges = np.flatnonzero(np.diff(flat)) if mask.any() else np.array([], int)
    return np.diff(np.concatenate([[0], edges, [mask.size]])).tolist()


def compressed(mask: np.ndarray) -> dict[str, Any]:
    rle = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(n) for n in rle["size"]], "counts": rle["counts"].decode()}


def drawn(value: Any, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    shape = read_shape(value)
    assert shape.fault is None, shape.fault
    assert shape.segmentation is not None
    assert fault_within(shape.segmentation, width, height) is None
    return draw(shape.segmentation, width, height) > 0


def fault(value: Any, width: int = WIDTH, height: int = HEIGHT) -> str:
    shape = read_shape(value)
    found = shape.fault or (fault_within(shape.segmentation, width, height) if shape.segmentation else None)
    assert found is not None, "it was taken"
    return found


@pytest.mark.parametrize(
    "value",
    [
        [POLYGON],
        [[20, 10, 35, 10, 35, 30, 20, 30], [35, 10, 50, 10, 50, 30, 35, 30], [1, 1, 2, 2]],
        POLYGON,
        PAIRS,
        [PAIRS],
        [[[20, 10], [35, 10], [35, 30], [20, 30]], [35, 10, 50, 10, 50, 30, 35, 30]],
        {"size": [HEIGHT, WIDTH], "counts": runs(INSIDE)},
        {"size": [40.0, 60.0], "counts": [float(run) for run in runs(INSIDE)]},
        compressed(INSIDE),
    ],
    ids=["flat", "parts", "one alone", "pairs alone", "pairs", "parts of both", "runs", "runs as floats", "compressed"],
)
def test_every_way_to_write_a_shape_draws_the_same_mask(value: Any) -> None:
    assert np.array_equal(drawn(value), INSIDE)


@pytest.mark.parametrize("value", [None, [], {}, "", [[]], [[], []]])
def test_no_segmentation_is_no_fault(value: Any) -> None:
    shape = read_shape(value)
    assert (shape.segmentation, shape.fault) == (None, None)


def test_compressed_runs_are_pycocotools_own() -> None:
    rng = np.random.default_rng(0)
    for density in (0.0, 0.001, 0.3, 0.5, 0.99, 1.0):
        mask = rng.random((int(rng.integers(1, 300)), int(rng.integers(1, 300)))) < density
        assert np.array_equal(drawn(compressed(mask), mask.shape[1], mask.shape[0]), mask)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([[20, 10, 50, 10, None, 30, 20, 30]], r"coordinate 5 of polygon 1 is null, which is no number"),
        ([POLYGON, [20, 10, 50, True, 20, 30]], r"coordinate 4 of polygon 2 is true"),
        ([[20, 10, 50, "10", 20, 30]], r"coordinate 4 of polygon 1 is '10'"),
        ([20, 10, 50, None, 20, 30], r"coordinate 4 of polygon 1 is null"),
        ([[20, 10, 50, 10, float("nan"), 30]], r"coordinate 5 of polygon 1 is nan, which is no finite number"),
        ([[20, 10, 50, 10, float("-inf"), 30]], r"coordinate 5 of polygon 1 is -inf"),
        ([[20, 10, 50, 10, 10**400, 30]], r"coordinate 5 of polygon 1 is 1000.*no finite number"),
        ([[20, 10, 50, 10, 20, 30, 5]], r"polygon 1 has 7 numbers, which do not make pairs"),
        ([[20, 10, 50, 10]], r"fewer than 3 points"),
        ([[20, 10]], r"fewer than 3 points"),
        ([[[20, 10, 2], [50, 10, 2], [20, 30, 2]]], r"point 1 of polygon 1 is a list, not a pair"),
        ([[[20, 10], None, [20, 30]]], r"point 2 of polygon 1 is null, not a pair"),
        ([[{"x": 20, "y": 10}]], r"coordinate 1 of polygon 1 is an object"),
        ([POLYGON, None], r"polygon 2 is null, not a list"),
        ("[[20, 10, 50, 10, 50, 30]]", r"its segmentation is '\[\[20, .*neither polygons nor run lengths"),
        (True, r"its segmentation is true"),
        ([[20, 10, 5000, 10, 50, 30]], r"coordinate 3 of polygon 1 is 5000, beyond the picture of 60x40"),
        ([[20, 10, 50, -81, 50, 30]], r"coordinate 4 of polygon 1 is -81, beyond"),
        ([[0.2, 0.1, 0.5, 0.1, 0.5, 1]], r"all lie between 0 and 1.*multiply them by width and height"),
        ({"counts": [1, 2]}, r"without the `size` and `counts`"),
        ({"size": [HEIGHT, WIDTH], "counts": None}, r"without the `size` and `counts`"),
        ({"size": [HEIGHT, None], "counts": [2400]}, r"its size is not \[height, width\]"),
        ({"size": [HEIGHT, WIDTH], "counts": [100, 50]}, r"its runs are of 150 pixels, for a picture of 2400"),
        ({"size": [HEIGHT, WIDTH], "counts": [2000, 2000]}, r"its runs are of 4000 pixels, for a picture of 2400"),
        ({"size": [HEIGHT, WIDTH], "counts": []}, r"its runs are of 0 pixels"),
        ({"size": [HEIGHT, WIDTH], "counts": [5, 10**9]}, r"run 2 is 1000000000"),
        ({"size": [HEIGHT, WIDTH], "counts": [2410, -10]}, r"run 1 is 2410|run 2 is -10"),
        ({"size": [HEIGHT, WIDTH], "counts": [1200.5, 1199.5]}, r"run 1 is 1200.5"),
        ({"size": [HEIGHT, WIDTH], "counts": [None, 2400]}, r"run 1 is null"),
        ({"size": [HEIGHT, WIDTH], "counts": ""}, r"its runs are of 0 pixels"),
        ({"size": [HEIGHT, WIDTH], "counts": "!!nonsense"}, r"characters that compressed run lengths do not have"),
        ({"size": [HEIGHT, WIDTH], "counts": "äöü"}, r"characters that compressed run lengths do not have"),
        ({"size": [HEIGHT, WIDTH], "counts": "o" * 30}, r"cut short"),
        ({"size": [HEIGHT, WIDTH], "counts": "o" * 30 + "0"}, r"longer than any picture"),
        (compressed(np.ones((5, 5))), r"its size \[5, 5\] is not the image's \[height, width\] \[40, 60\]"),
        (compressed(INSIDE.T), r"its size \[60, 40\] is not .*its width and height exchanged"),
    ],
)
def test_damage_is_told(value: Any, message: str) -> None:
    assert re.search(message, fault(value)), fault(value)


def test_compressed_counts_cut_anywhere_are_told() -> None:
    whole = compressed(INSIDE)
    for length in range(len(whole["counts"])):
        assert fault({**whole, "counts": whole["counts"][:length]})


def test_shapes_that_hang_over_the_edge_are_clipped_and_a_tiny_picture_has_small_coordinates() -> None:
    assert drawn([[-50, -30, 30, -30, 30, 20, -50, 20]])[:20, :30].all()
    assert drawn([[0, 0, 1, 0, 1, 1, 0, 1]], 4, 4)[0, 0]


def test_an_outline_longer_than_any_picture_needs_is_refused_before_it_costs_memory() -> None:
    shape = read_shape([[x for point in range(100_000) for x in ((point % 2) * 60, point % 40)]])
    assert shape.segmentation is not None
    with pytest.raises(ValueError, match=r"its outline is 5\d+ pixels long in a picture of 60x40"):
        draw(shape.segmentation, WIDTH, HEIGHT)

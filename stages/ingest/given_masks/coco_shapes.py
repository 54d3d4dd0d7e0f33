"""The segmentation of a COCO annotation: read from JSON into arrays, checked, and drawn.

The JSON is anybody's, and pycocotools checks nothing: a null among the coordinates fills the memory of the machine, and
runs that end before the picture does leave in the mask what lay in memory. So polygons are checked before it draws
them, and run lengths are decoded and drawn here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

Polygons = list[NDArray[np.float64]]
Segmentation = Polygons | dict[str, Any]
"""Polygons as arrays [x0, y0, x1, y1, ...], or {"size": [height, width], "counts": compressed text, or runs int64}."""

FEW_PIXELS = 8
"""In a picture no larger than this, coordinates between 0 and 1 may be pixels."""

LONGEST_OUTLINE = 4_000_000
"""pycocotools holds about a hundred bytes for each pixel of an outline. Unit: pixels."""

_LONGEST_NUMBER = 7
"""Characters of one run in compressed counts: 35 bits, more pixels than any picture has."""


@dataclass(frozen=True, slots=True)
class Shape:
    """segmentation: None where there is none. fault: what is wrong with it, the end of a sentence."""

    segmentation: Segmentation | None
    fault: str | None = None


def read_shape(value: Any) -> Shape:
    """What stands under `segmentation`: polygons of flat numbers or of [x, y] pairs, one polygon that is not in a list
    of its own, or run lengths of either kind. Checks all that can be told without the picture's size."""
    if value is None or value in ([], {}, "") or (type(value) is list and all(part == [] for part in value)):
        return Shape(None)
    try:
        if isinstance(value, dict):
            return Shape(_read_rle(value))
        if isinstance(value, list):
            return Shape(_read_polygons(value))
    except (ValueError, OverflowError) as error:
        return Shape(None, str(error))
    return Shape(None, f"its segmentation is {shown(value)}, neither polygons nor run lengths")


def fault_within(segmentation: Segmentation, width: int, height: int) -> str | None:
    """What is wrong with it in a picture of width x height pixels, or None.

    Coordinates may lie beyond an edge by a side of the picture at most.
    """
    if isinstance(segmentation, dict):
        size = segmentation["size"]
        if size == [height, width]:
            return None
        turned = ", its width and height exchanged" if size == [width, height] else ""
        return f"its size {size} is not the image's [height, width] {[height, width]}{turned}"
    low = min(float(polygon.min()) for polygon in segmentation)
    high = max(float(polygon.max()) for polygon in segmentation)
    if low >= 0 and 0 < high <= 1 and max(width, height) > FEW_PIXELS:
        return (
            "its coordinates all lie between 0 and 1, which looks like shares of the picture where COCO has pixels: "
            "multiply them by width and height"
        )
    short = min(width, height)
    if low >= -short and high <= 2 * short:
        return None
    for number, polygon in enumerate(segmentation, 1):
        side = np.where(np.arange(polygon.size) % 2, height, width)
        outside = np.flatnonzero((polygon < -side) | (polygon > 2 * side))
        if outside.size:
            at = int(outside[0])
            return f"coordinate {at + 1} of polygon {number} is {polygon[at]:g}, beyond the picture of {width}x{height}"
    return None


def runs_of(rle: dict[str, Any]) -> NDArray[np.int64]:
    """Lengths of the runs in column order, zeros first. Raises ValueError for text that is no compressed counts."""
    counts = rle["counts"]
    return _decompress(counts) if isinstance(counts, str) else counts


def draw(segmentation: Segmentation, width: int, height: int) -> NDArray[np.uint8]:
    """0 and 1, [height, width], of a segmentation that `fault_within` has no fault of. Raises ValueError for polygons
    whose outline is longer than any picture needs."""
    if isinstance(segmentation, dict):
        runs = runs_of(segmentation)
        values = (np.arange(runs.size) % 2).astype(np.uint8)
        return np.repeat(values, runs).reshape(width, height).T
    outline = sum(float(np.abs(np.diff(polygon.reshape(-1, 2), axis=0)).max(axis=1).sum()) for polygon in segmentation)
    if outline > min(LONGEST_OUTLINE, 4 * (width + 1) * (height + 1)):
        raise ValueError(f"its outline is {outline:.0f} pixels long in a picture of {width}x{height}")
    rle = coco.merge(coco.frPyObjects([polygon.tolist() for polygon in segmentation], height, width))
    return np.asarray(coco.decode(rle), dtype=np.uint8)


def whole(value: Any) -> int | None:
    """A whole number as int, also where it is written 4.0; None for anything else. True is no number."""
    if type(value) is int:
        return value
    return int(value) if type(value) is float and value.is_integer() else None


def shown(value: Any) -> str:
    """A value of the JSON as it stands there, cut to what fits a sentence."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "an object"
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _read_polygons(value: list[Any]) -> Polygons:
    kinds = set(map(type, value))
    if list not in kinds:
        value = [value]
    elif kinds != {list}:
        at = next(number for number, part in enumerate(value, 1) if type(part) is not list)
        raise ValueError(f"polygon {at} is {shown(value[at - 1])}, not a list of numbers")
    elif len(value) > 1 and all(len(part) == 2 and list not in map(type, part) for part in value):
        value = [value]  # the pairs of one polygon
    found = [_read_polygon(part, number) for number, part in enumerate(value, 1)]
    kept = [polygon for polygon in found if polygon.size >= 6]  # a point or a line encloses nothing
    if not kept:
        raise ValueError("its polygons have fewer than 3 points, which enclose nothing")
    return kept


def _read_polygon(part: list[Any], number: int) -> NDArray[np.float64]:
    kinds = set(map(type, part))
    if list in kinds:
        for at, point in enumerate(part, 1):
            if type(point) is not list or len(point) != 2:
                raise ValueError(f"point {at} of polygon {number} is {shown(point)}, not a pair [x, y]")
        part = [coordinate for point in part for coordinate in point]
        kinds = set(map(type, part))
    if not kinds <= {int, float}:
        at = next(at for at, one in enumerate(part, 1) if type(one) not in (int, float))
        raise ValueError(f"coordinate {at} of polygon {number} is {shown(part[at - 1])}, which is no number")
    try:
        polygon = np.asarray(part, dtype=np.float64)
        finite = bool(np.isfinite(polygon).all())
    except OverflowError:
        finite = False
    if not finite:
        at = next(at for at, one in enumerate(part, 1) if abs(one) > 1e300 or not math.isfinite(one))
        raise ValueError(f"coordinate {at} of polygon {number} is {shown(part[at - 1])}, which is no finite number")
    if polygon.size % 2:
        raise ValueError(f"polygon {number} has {polygon.size} numbers, which do not make pairs of x and y")
    return polygon


def _read_rle(value: dict[str, Any]) -> dict[str, Any]:
    counts, size = value.get("counts"), value.get("size")
    if not isinstance(counts, (list, str)) or not isinstance(size, list):
        raise ValueError("its segmentation is an object without the `size` and `counts` of run lengths")
    sides = [whole(side) for side in size]
    if len(sides) != 2 or any(side is None or not 0 < side < 1 << 31 for side in sides):
        raise ValueError("its size is not [height, width] in pixels")
    height, width = (int(side) for side in size)
    if isinstance(counts, list):
        for at, run in enumerate(counts, 1):
            length = whole(run)
            if length is None or not 0 <= length <= height * width:
                raise ValueError(f"run {at} is {shown(run)}, which is no number of pixels in {height}x{width}")
        counts = np.asarray(counts, dtype=np.int64)
    rle = {"size": [height, width], "counts": counts}
    runs = runs_of(rle)
    if (runs < 0).any():
        raise ValueError(f"run {int(np.flatnonzero(runs < 0)[0]) + 1} is negative: its compressed counts are damaged")
    if int(runs.sum()) != height * width:
        raise ValueError(
            f"its runs are of {int(runs.sum())} pixels, for a picture of {height * width} (size [{height}, {width}])"
        )
    return rle


def _decompress(text: str) -> NDArray[np.int64]:
    """COCO's text of counts: 5 bits a character, low ones first, 32 set where more follow; from the fourth number on
    the difference from the last but one."""
    if not text.isascii():
        raise ValueError("its counts hold characters that compressed run lengths do not have")
    data = np.frombuffer(text.encode("ascii"), dtype=np.uint8).astype(np.int64) - 48
    if data.size == 0:
        return data
    if data.min() < 0 or data.max() > 63:
        raise ValueError("its counts hold characters that compressed run lengths do not have")
    ends = np.flatnonzero(data & 32 == 0)
    if not ends.size or ends[-1] != data.size - 1:
        raise ValueError("its compressed counts are cut short")
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > _LONGEST_NUMBER:
        raise ValueError("its compressed counts hold a run that is longer than any picture")
    place = np.arange(data.size) - np.repeat(starts, lengths)
    runs = np.asarray(np.add.reduceat((data & 31) << (5 * place), starts), dtype=np.int64)
    runs -= np.where(data[ends] & 16, np.int64(1) << (5 * lengths), 0)
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs

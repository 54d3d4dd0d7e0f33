"""How many masks a plane holds: one with hard or soft edges, or, in a label map, one a label.

Both have several values. Those of soft edges lie between others: around such a pixel there are darker and brighter
ones. Those of labels have areas of their own. What is neither for certain is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stages.ingest.faults import MaskUnreadable
from stages.ingest.given_masks.plane import A_PHOTOGRAPH, Codes, Plane

MAX_LABELS = 32
"""A label costs a picture of memory each; no scene keeps more than 16 concepts."""

STRIP = 256
"""Rows looked at together: the memory of the look is that of a strip, not of the picture."""

SMALL_STEP = 0.01
"""Share of white. Steps up to it, through values that are no farther apart, are a wide feather."""

DARKEST_GREY = 16
"""Of 255: the black of video. A value below it that is not 0 is a number sooner than a grey."""


@dataclass
class _Census:
    """levels: codes in use, ascending. area, between: for each, its pixels, and those of them with two further codes
    in their 3 x 3. steps, small_steps: neighbours of unlike brightness, one of them neither ground nor brightest, and
    those of them that are nearly alike. mid, ragged: pixels of 10 to 90 % of the brightest, and those of them that
    stand out from both neighbours in their row or column."""

    levels: NDArray[np.int64]
    area: NDArray[np.int64]
    between: NDArray[np.int64]
    steps: int = 0
    small_steps: int = 0
    mid: int = 0
    ragged: int = 0


def masks_in(plane: Plane) -> list[tuple[str | None, Image.Image]]:
    """Masks, mode L, 0 to 255, each with its label (`value 2`, `colour #800000`), None where the plane is one mask.

    One code but the ground, whatever it is, is a plain mask; so is the only one of two over half of white.
    Raises MaskUnreadable for what is no mask and for what may be read in two ways.
    """
    codes, white = plane.codes, plane.white
    levels = np.unique(codes).astype(np.int64)
    things = levels[levels > 0]
    if len(things) <= 1:
        return [(None, _drawn(codes > 0))]
    if plane.alpha:
        return [(None, Image.fromarray(codes))]
    if len(levels) == 2:
        return [(None, _brighter_of(plane, levels))]
    white_too = any(int(code) in plane.void for code in things)  # no map of labels alone: maybe an enlarged soft mask
    census = _census(_own_size(codes) if white_too else codes, levels, white)
    if white and _is_smooth(census, white):
        return [(None, _soft(plane, census))]
    return [(_label(plane, code), _drawn(codes == code)) for code in _labels(plane, census)]


def _brighter_of(plane: Plane, levels: NDArray[np.int64]) -> Image.Image:
    """Of two codes without a ground of 0, the one over half of white, where both are greys and not numbers."""
    bright = [code / plane.white if plane.white else max(int(code).to_bytes(4, "big")) / 255 for code in levels]
    over = [share > 0.5 for share in bright]
    if sum(over) != 1 or (plane.unit == "value" and not _are_greys(levels, plane.white)):
        raise _no_ground(plane, levels)
    return _drawn(plane.codes == levels[over.index(True)])


def _are_greys(levels: NDArray[np.int64], white: int) -> bool:
    """Whether two values are a dark and a light grey. White beside a grey is as often what tools write for "ignore"."""
    dark, light = (int(code) for code in levels)
    darkest = max(DARKEST_GREY, white * DARKEST_GREY / 255)
    return dark >= darkest and light < white and 2 * (light - dark) > white


def _soft(plane: Plane, census: _Census) -> Image.Image:
    largest, white = int(census.levels[-1]), plane.white
    inside = census.area[census.levels > 0].sum()
    if census.mid >= 0.5 * inside and census.ragged >= 0.1 * census.mid:
        raise MaskUnreadable(A_PHOTOGRAPH)
    if largest <= white // 2:
        raise MaskUnreadable(
            f"its edges are soft and its brightest value is {largest}, under half of white ({white}); raise it to white"
        )
    return Image.fromarray(np.rint(np.arange(white + 1) * (255 / white)).astype(np.uint8)[plane.codes])


def _labels(plane: Plane, census: _Census) -> list[int]:
    """The codes that are labels, ascending."""
    levels = census.levels
    if levels[0] != 0:
        raise _no_ground(plane, levels)
    things, stray = levels[1:], census.between[1:] >= 0.5 * census.area[1:]
    if census.between[1:].sum() >= 0.5 * census.area[1:].sum():
        raise MaskUnreadable(A_PHOTOGRAPH)
    if stray.any():
        raise MaskUnreadable(
            f"it has flat areas, and between them {plane.unit}s that only edges have ({_some(plane, things[stray])}): "
            "a label map resized with smoothing, or a soft mask of several layers; export it again without smoothing, "
            "or save one mask a file"
        )
    void = [code for code in things if int(code) in plane.void]
    if void:
        others = [code for code in things if int(code) not in plane.void]
        raise MaskUnreadable(
            f"{_label(plane, void[0])} stands beside {_some(plane, others)}, and may be a thing, a mask's inside or "
            "what tools write for 'ignore'; save what is to be ignored as 0, a thing under a label of its own"
        )
    if len(things) > MAX_LABELS:
        raise MaskUnreadable(
            f"it holds {len(things)} labels, more than {MAX_LABELS}; save those that are to be concepts, 0 elsewhere"
        )
    return [int(code) for code in things]


def _no_ground(plane: Plane, levels: NDArray[np.int64]) -> MaskUnreadable:
    return MaskUnreadable(
        f"none of its {len(levels)} {plane.unit}s ({_some(plane, levels)}) is 0, so the ground cannot be told from the "
        "things; save the ground as 0 (black)"
    )


def _is_smooth(census: _Census, white: int) -> bool:
    """Whether the values that are neither ground nor brightest are the edges of one mask.

    Most of their pixels lie between others; or the edge is so wide that they have areas: then it passes through all
    values, from the ground or up to white, in small steps alone. The numbers of labels do not: where they are as dense,
    those of one row of things lie beside those of another.
    """
    inner = (census.levels > 0) & (census.levels < census.levels[-1])
    if census.between[inner].sum() >= 0.5 * census.area[inner].sum():
        return True
    dense = len(census.levels) > MAX_LABELS and np.diff(census.levels).max() <= SMALL_STEP * white
    has_end = census.levels[0] == 0 or census.levels[-1] >= 0.9 * white
    return bool(dense and has_end and census.small_steps >= 0.95 * census.steps)


def _census(codes: Codes, levels: NDArray[np.int64], white: int) -> _Census:
    """white: 0 where the codes are no brightnesses, whose steps say nothing."""
    census = _Census(levels, np.zeros(len(levels), np.int64), np.zeros(len(levels), np.int64))
    for block in _strips(codes):
        centre = block[1:-1, 1:-1]
        height, width = centre.shape
        around = [block[y : y + height, x : x + width] for y in range(3) for x in range(3)]
        low, high = np.minimum.reduce(around), np.maximum.reduce(around)
        third = np.logical_or.reduce([(other != low) & (other != high) for other in around])
        ranks = np.searchsorted(levels, centre)
        census.area += np.bincount(ranks.ravel(), minlength=len(levels))
        census.between += np.bincount(ranks[third], minlength=len(levels))
        if white:
            _count_steps(census, block.astype(np.int64), white)
    return census


def _count_steps(census: _Census, block: NDArray[np.int64], white: int) -> None:
    centre, largest = block[1:-1, 1:-1], int(census.levels[-1])
    inner = (centre > 0) & (centre < largest)
    ragged = np.zeros(centre.shape, bool)
    for one, other in ((block[1:-1, :-2], block[1:-1, 2:]), (block[:-2, 1:-1], block[2:, 1:-1])):
        ragged |= (centre - one) * (centre - other) > 0
        step = np.abs(centre - one)[inner]
        census.steps += int((step > 0).sum())
        census.small_steps += int(((step > 0) & (step <= SMALL_STEP * white)).sum())
    mid = (centre >= 0.1 * largest) & (centre <= 0.9 * largest)
    census.mid += int(mid.sum())
    census.ragged += int((ragged & mid).sum())


def _strips(codes: Codes) -> Iterator[Codes]:
    """Blocks of rows, each with a rim of one pixel: its neighbours', or at the picture's edge its own."""
    height = len(codes)
    for top in range(0, height, STRIP):
        bottom = min(top + STRIP, height)
        rim = ((int(top == 0), int(bottom == height)), (1, 1))
        yield np.pad(codes[max(top - 1, 0) : bottom + 1], rim, mode="edge")


def _own_size(codes: Codes) -> Codes:
    """Without the enlargement by repeated pixels, which gives soft edges areas of their own."""
    for axis in (0, 1):
        differ = codes[1:] != codes[:-1] if axis == 0 else codes[:, 1:] != codes[:, :-1]
        changes = np.flatnonzero(differ.any(axis=1 - axis)) + 1
        factor = int(np.gcd.reduce([*changes.tolist(), codes.shape[axis]]))
        codes = codes[::factor] if axis == 0 else codes[:, ::factor]
    return codes


def _drawn(inside: NDArray[np.bool_]) -> Image.Image:
    return Image.fromarray(inside.astype(np.uint8) * np.uint8(255))


def _label(plane: Plane, code: int) -> str:
    return f"colour #{code:06x}" if plane.unit == "colour" else f"value {code}"


def _some(plane: Plane, codes: NDArray[np.int64] | list[int]) -> str:
    shown = [f"#{code:06x}" if plane.unit == "colour" else str(code) for code in codes[:3]]
    return ", ".join(shown) + (" ..." if len(codes) > 3 else "")

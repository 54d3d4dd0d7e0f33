"""A mask as one polygon, for formats that have nothing else.

Its outlines are followed along the edges of pixels and made simpler; holes and further parts are joined to the first by
bridges of no width, walked both ways, which fill as they should by either rule (even-odd, or winding: a hole's outline
runs the other way round). What is lost is measured, not assumed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from stages.masks.shapes import Mask

Point = tuple[int, int]
Ring = NDArray[np.float64]
"""[n, 2] corners (x, y) in pixels, counted from the picture's corner; the last is joined to the first."""
TOLERANCE = 0.75
"""How far from a corner the simpler outline may pass, in pixels: a slope's stairs become a line."""
INSET = 0.05
"""How far inside the edge of its pixels an outline runs: readers that cut off fractions and fill the outline itself,
as OpenCV does, would else take the pixels beyond the right and the lower edge for a part of the mask."""
_OF_SIDE = 0.02
"""The same as a share of the side of a square as large as the mask: a small thing keeps its stairs."""


def polygon(mask: Mask, tolerance: float = TOLERANCE) -> Ring:
    """One polygon for a mask [h, w] that is not empty."""
    tolerance = min(tolerance, _OF_SIDE * float(np.sqrt(mask.sum())))
    simpler = (_simpler(_inset(ring), tolerance) for ring in outlines(mask))
    rings = sorted(simpler, key=lambda ring: -abs(_area(ring)))
    joined, rest = rings[0], rings[1:]
    while rest:
        gaps = [_gap(joined, ring) for ring in rest]
        nearest = min(range(len(rest)), key=lambda number: gaps[number][0])
        _, here, there = gaps[nearest]
        ring = rest.pop(nearest)
        joined = np.concatenate([joined[: here + 1], ring[there:], ring[: there + 1], joined[here:]])
    return joined


def overlap(mask: Mask, ring: Ring) -> float:
    """Intersection over union of a mask [h, w] with what pycocotools fills of the polygon."""
    (runs,) = coco.frPyObjects([ring.ravel().tolist()], *mask.shape)
    filled = coco.decode(runs).astype(bool)
    return float((mask & filled).sum() / (mask | filled).sum())


def outlines(mask: Mask) -> list[Ring]:
    """The rings around a mask [h, w] and around its holes, corners only: the mask lies to the right of each."""
    padded = np.pad(mask, 1)
    steps: dict[Point, list[Point]] = {}
    for outside, (x0, y0), step in (
        (~padded[:-2, 1:-1], (0, 0), (1, 0)),  # nothing above a pixel: to the right along its upper edge
        (~padded[1:-1, 2:], (1, 0), (0, 1)),
        (~padded[2:, 1:-1], (1, 1), (-1, 0)),
        (~padded[1:-1, :-2], (0, 1), (0, -1)),
    ):
        for y, x in np.argwhere(mask & outside).tolist():
            steps.setdefault((x + x0, y + y0), []).append(step)
    walked: set[tuple[Point, Point]] = set()
    rings = []
    for at, step in [(at, step) for at, each in steps.items() for step in each]:
        corners = []
        while (at, step) not in walked:
            walked.add((at, step))
            at = (at[0] + step[0], at[1] + step[1])
            # Where two pixels touch at a corner alone, a turn to the right stays with the first.
            onward = steps[at][0] if len(steps[at]) == 1 else (-step[1], step[0])
            if onward != step:
                corners.append(at)
            step = onward
        if corners:
            rings.append(np.array(corners, dtype=np.float64))
    return rings


def _inset(ring: Ring) -> Ring:
    before = np.sign(ring - np.roll(ring, 1, axis=0))
    after = np.sign(np.roll(ring, -1, axis=0) - ring)
    x, y = (before + after).T
    return ring + INSET * np.stack([-y, x], axis=1)


def _simpler(ring: Ring, tolerance: float) -> Ring:
    """By Douglas and Peucker, from two corners that lie far apart; a ring that would collapse stays as it is."""
    ring = np.roll(ring, -int(np.argmin(ring.sum(axis=1))), axis=0)
    far = int(np.argmax(np.linalg.norm(ring - ring[0], axis=1)))
    closed = np.concatenate([ring, ring[:1]])
    kept = np.zeros(len(closed), dtype=bool)
    kept[[0, far, len(ring)]] = True
    open_ = [(0, far), (far, len(ring))]
    while open_:
        first, last = open_.pop()
        if last - first < 2:
            continue
        (x0, y0), (x1, y1) = closed[first], closed[last]
        between = closed[first + 1 : last]
        length = float(np.hypot(x1 - x0, y1 - y0))
        across = np.abs((x1 - x0) * (between[:, 1] - y0) - (y1 - y0) * (between[:, 0] - x0))
        gaps = across / length if length else np.linalg.norm(between - closed[first], axis=1)
        worst = int(np.argmax(gaps))
        if gaps[worst] > tolerance:
            middle = first + 1 + worst
            kept[middle] = True
            open_ += [(first, middle), (middle, last)]
    found = closed[:-1][kept[:-1]]
    return found if len(found) >= 3 else ring


def _area(ring: Ring) -> float:
    x, y = ring.T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def _gap(one: Ring, other: Ring) -> tuple[float, int, int]:
    """The smallest distance of two rings' corners, and which they are."""
    squares = ((one[:, None] - other[None]) ** 2).sum(axis=2)
    here, there = np.unravel_index(int(squares.argmin()), squares.shape)
    return float(squares[here, there]), int(here), int(there)

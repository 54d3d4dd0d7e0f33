"""A mask as one polygon, for formats that have nothing else.

Its outlines are followed along the edges of pixels and made simpler; holes and further parts are joined to the first by
bridges of no width, walked both ways, which fill as they should by either rule (even-odd, or winding: a hole's outline
runs the other way round). What is lost is measured, not assumed.
"""

from __future__ import annotations

import numpy as np
from pycocotools import mask as coco

from stages.masks.outlines import Ring, outlines, simpler
from stages.masks.shapes import Mask

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
    found = (simpler(_inset(ring), tolerance) for ring in outlines(mask))
    rings = sorted(found, key=lambda ring: -abs(_area(ring)))
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


def _inset(ring: Ring) -> Ring:
    before = np.sign(ring - np.roll(ring, 1, axis=0))
    after = np.sign(np.roll(ring, -1, axis=0) - ring)
    x, y = (before + after).T
    return ring + INSET * np.stack([-y, x], axis=1)


def _area(ring: Ring) -> float:
    x, y = ring.T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def _gap(one: Ring, other: Ring) -> tuple[float, int, int]:
    """The smallest distance of two rings' corners, and which they are."""
    squares = ((one[:, None] - other[None]) ** 2).sum(axis=2)
    here, there = np.unravel_index(int(squares.argmin()), squares.shape)
    return float(squares[here, there]), int(here), int(there)

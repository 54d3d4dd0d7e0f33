"""The outlines of a mask, along the edges of its pixels, and made simpler."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stages.masks.shapes import Mask

Point = tuple[int, int]
Ring = NDArray[np.float64]
"""[n, 2] corners (x, y) in pixels, counted from the picture's corner; the last is joined to the first."""


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


def simpler(ring: Ring, tolerance: float) -> Ring:
    """The ring with fewer corners; it passes none of the others at more than `tolerance` pixels (Douglas and Peucker,
    from two corners that lie far apart). One that would collapse stays as it is."""
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

"""Outlines of masks: each once, around holes too, and no further off than told once they are simpler."""

from __future__ import annotations

import numpy as np

from stages.masks.outlines import outlines, simpler
from stages.masks.shapes import Mask


def disc(side: int, x: float, y: float, radius: float) -> Mask:
    rows, columns = np.mgrid[:side, :side]
    return (columns - x) ** 2 + (rows - y) ** 2 < radius**2


RING = disc(96, 48, 48, 40) & ~disc(96, 40, 52, 20)
NESTED = RING | disc(96, 40, 52, 8)
CHECKS = np.indices((6, 6)).sum(axis=0) % 2 == 0


def test_each_outline_is_there_once() -> None:
    """A ring is an outline and a hole; pixels that touch at corners are apart, and so are no holes lost."""
    assert len(outlines(RING)) == 2
    assert len(outlines(NESTED)) == 3
    assert len(outlines(CHECKS)) == CHECKS.sum()
    (square,) = outlines(np.pad(np.ones((2, 3), bool), 4))
    assert sorted(map(tuple, square.tolist())) == [(4, 4), (4, 6), (7, 4), (7, 6)]


def test_a_simpler_outline_is_near_the_first() -> None:
    for ring in outlines(NESTED):
        few = simpler(ring, 0.75)
        assert 3 <= len(few) < 0.75 * len(ring)
        assert set(map(tuple, few.tolist())) <= set(map(tuple, ring.tolist()))
        after = np.roll(few, -1, axis=0)
        for corner in ring:
            along = ((corner - few) * (after - few)).sum(axis=1) / ((after - few) ** 2).sum(axis=1)
            nearest = few + np.clip(along, 0, 1)[:, None] * (after - few)
            assert np.linalg.norm(corner - nearest, axis=1).min() <= 0.75

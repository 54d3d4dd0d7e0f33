"""Masks as polygons: what they keep, and that what is measured is what is filled."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pipeline.dataset.polygons import overlap, polygon
from stages.masks.outlines import outlines
from stages.masks.shapes import Mask


def disc(side: int, x: float, y: float, radius: float) -> Mask:
    rows, columns = np.mgrid[:side, :side]
    return (columns - x) ** 2 + (rows - y) ** 2 < radius**2


RING = disc(96, 48, 48, 40) & ~disc(96, 40, 52, 20)
PARTS = disc(96, 20, 20, 15) | disc(96, 70, 30, 12) | disc(96, 40, 80, 10)
NESTED = RING | disc(96, 40, 52, 8)
STAIRS = np.tri(60, dtype=bool)
CHECKS = np.indices((6, 6)).sum(axis=0) % 2 == 0
SHAPES = {"disc": disc(96, 48, 48, 30), "ring": RING, "parts": PARTS, "nested": NESTED, "stairs": STAIRS}


@pytest.mark.parametrize("name", SHAPES)
def test_a_polygon_keeps_holes_and_parts(name: str) -> None:
    mask = SHAPES[name]
    ring = polygon(mask)
    assert overlap(mask, ring) > 0.95
    assert len(ring) < 0.6 * sum(map(len, outlines(mask)))


@pytest.mark.parametrize("mask", [*SHAPES.values(), CHECKS, np.ones((3, 5), bool), np.eye(4, dtype=bool)])
def test_without_tolerance_nothing_is_lost(mask: Mask) -> None:
    assert overlap(mask, polygon(mask, tolerance=0)) == 1


def test_what_is_measured_is_what_others_fill() -> None:
    """Pillow's own polygons, twenty times as fine, so that where its edge runs does not matter."""
    ring = polygon(NESTED)
    fine = Image.new("1", (96 * 20, 96 * 20))
    ImageDraw.Draw(fine).polygon([tuple(point) for point in (ring * 20).tolist()], fill=1)
    filled = np.asarray(fine)[10::20, 10::20]
    iou = (filled & NESTED).sum() / (filled | NESTED).sum()
    assert iou == pytest.approx(overlap(NESTED, ring), abs=0.01)


def test_who_cuts_off_fractions_fills_the_same_pixels() -> None:
    """As readers do that hand whole numbers to cv2.fillPoly, which fills the outline too."""
    square = np.pad(np.ones((20, 30), bool), 8)
    corners = polygon(square).astype(int)
    assert (corners.min(axis=0).tolist(), corners.max(axis=0).tolist()) == ([8, 8], [37, 27])


def test_a_part_that_is_dropped_is_seen() -> None:
    first = polygon(disc(96, 20, 20, 15))
    assert overlap(PARTS, first) < 0.6

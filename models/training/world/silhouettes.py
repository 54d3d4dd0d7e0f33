"""The toys' silhouettes, as fields of distances, so that one can be drawn at any size and angle, its outline with it.

A silhouette is a union of polygons, without its holes, on coordinates x (to the right) and y (downwards) of about
-1..1. Some have ink inside, a fish's eye or a house's door: what makes a toy named at a glance, and no fact of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import distance_transform_edt, gaussian_filter

Polygon = NDArray[np.float64]
"""Corners, [n, 2]: x and y."""

GRID = 320
"""Field pixels along a silhouette's longer side: as fine as the largest toy is drawn at 128 pixels a picture."""
MARGIN = 24
"""Field pixels around it, so that what is sampled just outside is known to be outside."""
_ROUNDING = 3.0
"""Blur of the field, in its pixels: takes the points off corners, as a toy's maker does."""


@dataclass(frozen=True)
class Drawing:
    """A silhouette as its polygons: what is solid, what is cut out of that, and what is inked inside."""

    parts: tuple[Polygon, ...]
    holes: tuple[Polygon, ...] = ()
    ink: tuple[Polygon, ...] = ()


@dataclass(frozen=True)
class Silhouette:
    """distance, ink: float32 [h, w], how deep inside the silhouette (inside the ink) a place is, negative outside, in
    shares of the longer side; the silhouette's box lies `MARGIN` from the edges."""

    distance: NDArray[np.float32]
    ink: NDArray[np.float32]


def _points(*pairs: tuple[float, float]) -> Polygon:
    return np.array(pairs, float)


def _disc(x: float, y: float, across: float, down: float | None = None, turn: float = 0.0) -> Polygon:
    """An ellipse of half axes `across` and `down`, turned by `turn` degrees."""
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    round_ = np.stack([across * np.cos(angle), (across if down is None else down) * np.sin(angle)], 1)
    cosine, sine = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    return round_ @ np.array([[cosine, sine], [-sine, cosine]]) + (x, y)


def _half_disc(x: float, y: float, across: float, down: float) -> Polygon:
    """The upper half of an ellipse that stands on y."""
    angle = np.linspace(np.pi, 2 * np.pi, 48)
    return np.stack([x + across * np.cos(angle), y + down * np.sin(angle)], 1)


def _box(left: float, top: float, right: float, bottom: float) -> Polygon:
    return _points((left, top), (right, top), (right, bottom), (left, bottom))


def _star() -> Drawing:
    angle = -np.pi / 2 + np.arange(10) * np.pi / 5
    reach = np.where(np.arange(10) % 2 == 0, 1.0, 0.46)
    return Drawing((np.stack([reach * np.cos(angle), reach * np.sin(angle)], 1),))


def _heart() -> Drawing:
    t = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    x = np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)) / 16
    return Drawing((np.stack([x, y], 1),))


def _ball() -> Drawing:
    return Drawing((_disc(0, 0, 1),))


def _cube() -> Drawing:
    corners = tuple(_disc(x, y, 0.16) for x in (-0.84, 0.84) for y in (-0.84, 0.84))
    return Drawing((_box(-1, -0.84, 1, 0.84), _box(-0.84, -1, 0.84, 1), *corners))


def _cone() -> Drawing:
    return Drawing((_points((0, -1), (0.86, 0.78), (-0.86, 0.78)), _disc(0, 0.78, 0.86, 0.2)))


def _moon() -> Drawing:
    return Drawing((_disc(0, 0, 1),), holes=(_disc(0.56, -0.3, 0.74),))


def _fish() -> Drawing:
    tail = _points((0.2, 0), (1, -0.62), (0.84, 0), (1, 0.62))
    fin = _points((-0.4, -0.5), (0.1, -0.86), (0.3, -0.4))
    return Drawing((_disc(-0.25, 0, 0.75, 0.64), tail, fin), ink=(_disc(-0.6, -0.14, 0.1),))


def _mushroom() -> Drawing:
    stem = _points((-0.26, 0.05), (0.26, 0.05), (0.36, 0.8), (-0.36, 0.8))
    return Drawing((_half_disc(0, 0.1, 1, 1.05), _disc(0, 0.1, 1, 0.16), stem, _disc(0, 0.8, 0.36, 0.12)))


def _house() -> Drawing:
    roof = _points((0, -1), (1, -0.08), (-1, -0.08))
    chimney = _box(0.42, -0.92, 0.68, -0.3)
    return Drawing((roof, chimney, _box(-0.72, -0.2, 0.72, 0.9)), ink=(_box(-0.17, 0.36, 0.17, 0.9),))


def _tree() -> Drawing:
    tiers = ((-1.0, -0.3, 0.46), (-0.62, 0.2, 0.62), (-0.2, 0.72, 0.8))
    firs = tuple(_points((0, top), (half, foot), (-half, foot)) for top, foot, half in tiers)
    return Drawing((*firs, _box(-0.17, 0.6, 0.17, 1)))


def _car() -> Drawing:
    body = _points(
        (-1, -0.02), (-0.6, -0.1), (-0.38, -0.56), (0.4, -0.56), (0.64, -0.1), (1, 0.02), (1, 0.4), (-1, 0.4)
    )
    wheels = (_disc(-0.55, 0.42, 0.25), _disc(0.55, 0.42, 0.25))
    window = _points((-0.4, -0.1), (-0.26, -0.4), (-0.02, -0.4), (-0.02, -0.1))
    other = _points((0.1, -0.1), (0.1, -0.4), (0.3, -0.4), (0.44, -0.1))
    return Drawing((body, *wheels), ink=(window, other))


def _boat() -> Drawing:
    hull = _points((-1, 0.42), (1, 0.42), (0.62, 0.92), (-0.62, 0.92))
    sails = (_points((0.0, -1), (0.0, 0.24), (-0.72, 0.24)), _points((0.1, -0.8), (0.74, 0.24), (0.1, 0.24)))
    return Drawing((hull, *sails, _box(-0.05, -0.95, 0.15, 0.5)))


def _flower() -> Drawing:
    turns = -np.pi / 2 + np.arange(5) * 2 * np.pi / 5
    petals = tuple(_disc(0.58 * np.cos(a), 0.58 * np.sin(a), 0.42, 0.36, np.degrees(a)) for a in turns)
    return Drawing((*petals, _disc(0, 0, 0.3)), ink=(_disc(0, 0, 0.13),))


def _arrow() -> Drawing:
    return Drawing((_points((0, -1), (0.86, -0.08), (-0.86, -0.08)), _box(-0.34, -0.2, 0.34, 1)))


def _crown() -> Drawing:
    zigzag = _points((-1, -0.62), (-0.48, -0.02), (0, -0.8), (0.48, -0.02), (1, -0.62), (0.84, 0.8), (-0.84, 0.8))
    return Drawing((zigzag, _disc(0, 0.8, 0.84, 0.12)))


def _duck() -> Drawing:
    body = _disc(0.16, 0.4, 0.8, 0.5)
    tail = _points((0.5, 0.1), (1.06, -0.22), (0.9, 0.5))
    beak = _points((-0.7, -0.6), (-1.06, -0.3), (-0.62, -0.24))
    return Drawing((body, tail, _disc(-0.4, -0.42, 0.42), beak), ink=(_disc(-0.5, -0.5, 0.1),))


def _butterfly() -> Drawing:
    upper = tuple(_disc(side * 0.55, -0.36, 0.52, 0.42, side * -38) for side in (-1, 1))
    lower = tuple(_disc(side * 0.42, 0.44, 0.4, 0.34, side * 40) for side in (-1, 1))
    return Drawing((*upper, *lower, _disc(0, 0, 0.15, 0.72)), ink=(_disc(0, 0.05, 0.07, 0.5),))


def _cup() -> Drawing:
    body = _points((-1, -0.8), (0.5, -0.8), (0.38, 0.8), (-0.88, 0.8))
    return Drawing((body, _disc(0.5, -0.08, 0.5, 0.52)), holes=(_disc(0.56, -0.08, 0.22, 0.26),))


def _rocket() -> Drawing:
    fins = tuple(_points((side * 0.34, 0.0), (side * 0.86, 0.92), (side * 0.2, 0.66)) for side in (-1, 1))
    nose = _points((-0.48, -0.2), (-0.3, -0.68), (0, -1), (0.3, -0.68), (0.48, -0.2))
    return Drawing((_disc(0, 0, 0.5, 0.8), nose, *fins, _box(-0.24, 0.5, 0.24, 0.96)), ink=(_disc(0, -0.2, 0.17),))


def _bunny() -> Drawing:
    ears = (_disc(-0.36, -0.46, 0.23, 0.54, -10), _disc(0.36, -0.46, 0.23, 0.54, 10))
    return Drawing((_disc(0, 0.38, 0.74, 0.62), *ears), ink=(_disc(-0.28, 0.28, 0.1), _disc(0.28, 0.28, 0.1)))


_DRAWINGS: dict[str, Callable[[], Drawing]] = {
    "star": _star,
    "heart": _heart,
    "ball": _ball,
    "cube": _cube,
    "cone": _cone,
    "moon": _moon,
    "fish": _fish,
    "mushroom": _mushroom,
    "house": _house,
    "tree": _tree,
    "car": _car,
    "boat": _boat,
    "flower": _flower,
    "arrow": _arrow,
    "crown": _crown,
    "duck": _duck,
    "butterfly": _butterfly,
    "cup": _cup,
    "rocket": _rocket,
    "bunny": _bunny,
}
SILHOUETTES = tuple(_DRAWINGS)
"""Every silhouette's noun."""


@cache
def silhouette(name: str) -> Silhouette:
    """The fields of the silhouette called `name`. Raises KeyError when there is none."""
    drawing = _DRAWINGS[name]()
    corners = np.concatenate(drawing.parts)
    low, high = corners.min(0), corners.max(0)
    scale = GRID / (high - low).max()
    size = tuple(int(side) for side in np.ceil((high - low) * scale) + 2 * MARGIN)

    def field(parts: tuple[Polygon, ...], holes: tuple[Polygon, ...]) -> NDArray[np.float32]:
        picture = Image.new("L", size)
        draw = ImageDraw.Draw(picture)
        for polygons, fill in ((parts, 255), (holes, 0)):
            for polygon in polygons:
                draw.polygon([(float(x), float(y)) for x, y in (polygon - low) * scale + MARGIN], fill=fill)
        solid = np.asarray(picture) > 0
        if not solid.any():
            return np.full(solid.shape, -1, np.float32)
        deep = (distance_transform_edt(solid) - distance_transform_edt(~solid)).astype(np.float32)
        return gaussian_filter(deep, _ROUNDING) / np.float32(GRID)

    return Silhouette(field(drawing.parts, drawing.holes), field(drawing.ink, ()))

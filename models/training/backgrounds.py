"""The eight procedural backgrounds of the world, each with a strong look of its own and phrases to ask for it.

Each painter draws on normalised coordinates, so that 64 and 256 pixels a side show the same place. A painter gets
`x`, `y` (float [h, w], 0 at the left and at the top, 1 at the far edge) and returns float RGB [h, w, 3] in 0..1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Painter = Callable[[Field, Field, np.random.Generator], Field]


@dataclass(frozen=True)
class Background:
    """A place: its short name, the phrases that name it in a caption (the first is the usual one), its painter."""

    name: str
    phrases: tuple[str, ...]
    paint: Painter


def _rgb(red: int, green: int, blue: int) -> Field:
    return np.array([red, green, blue], np.float32) / 255


def _mix(low: Field, high: Field, weight: Field) -> Field:
    """low and high: [3]; weight: [h, w] in 0..1; returns [h, w, 3]."""
    return low + (high - low) * np.clip(weight, 0, 1)[..., None]


def _waves(x: Field, y: Field, rng: np.random.Generator, count: int, frequency: float) -> Field:
    """A soft random field in about -1..1: `count` plane waves of `frequency` cycles a side, random ways and phases."""
    total = np.zeros_like(x)
    for angle, phase in rng.uniform(0, 2 * np.pi, (count, 2)).astype(np.float32):
        total += np.sin(2 * np.pi * frequency * (np.cos(angle) * x + np.sin(angle) * y) + phase)
    return total / np.sqrt(count)


def _grass(x: Field, y: Field, rng: np.random.Generator) -> Field:
    blades = 0.5 * np.sin(2 * np.pi * (9 * x + 0.4 * _waves(x, y, rng, 2, 1.5)))
    return _mix(_rgb(58, 128, 30), _rgb(122, 200, 60), 0.35 + 0.35 * y + 0.3 * blades)


def _beach(x: Field, y: Field, rng: np.random.Generator) -> Field:
    horizon, shore = 0.26 + rng.uniform(-0.04, 0.04), 0.5 + rng.uniform(-0.05, 0.05)
    shore = shore + 0.025 * np.sin(2 * np.pi * (1.5 * x + rng.uniform()))
    picture = _mix(_rgb(110, 190, 245), _rgb(200, 235, 255), y / horizon)
    sea = _mix(_rgb(20, 110, 170), _rgb(70, 200, 205), (y - horizon) / (shore - horizon))
    sand = _mix(_rgb(244, 222, 168), _rgb(224, 190, 126), (y - shore) / 0.5 + 0.06 * _waves(x, y, rng, 2, 4))
    picture = np.where((y > horizon)[..., None], sea, picture)
    foam = np.exp(-(((y - shore) / 0.02) ** 2))[..., None]
    return np.where((y > shore)[..., None], sand, picture) * (1 - foam) + foam


def _snow(x: Field, y: Field, rng: np.random.Generator) -> Field:
    horizon = 0.36 + rng.uniform(-0.05, 0.05) + 0.04 * np.sin(2 * np.pi * (0.8 * x + rng.uniform()))
    sky = _mix(_rgb(150, 176, 205), _rgb(196, 212, 228), y / 0.4)
    ground = _mix(_rgb(252, 253, 255), _rgb(214, 228, 246), 0.35 + 0.3 * _waves(x, 2 * y, rng, 3, 1.2))
    return np.where((y > horizon)[..., None], ground, sky)


def _night(x: Field, y: Field, rng: np.random.Generator) -> Field:
    picture = _mix(_rgb(8, 8, 34), _rgb(38, 30, 92), y)
    for cx, cy, brightness in rng.uniform((0, 0, 0.6), (1, 0.95, 1), (14, 3)).astype(np.float32):
        glow = brightness * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 0.012**2)
        picture = picture + glow[..., None] * (1 - picture)
    return picture


def _wooden_floor(x: Field, y: Field, rng: np.random.Generator) -> Field:
    row = y * 5 + rng.uniform()
    tone = rng.uniform(-0.28, 0.28, 8).astype(np.float32)[row.astype(int) % 8]
    grain = 0.16 * np.sin(2 * np.pi * (5 * y + 0.6 * np.sin(2 * np.pi * (1.1 * x + tone * 9))))
    gap = np.exp(-(((((row % 1) - 0.5).__abs__() - 0.5) / 0.07) ** 2))
    return _mix(_rgb(120, 70, 34), _rgb(206, 144, 84), 0.55 + tone + grain) * (1 - 0.55 * gap[..., None])


def _pink_fabric(x: Field, y: Field, rng: np.random.Generator) -> Field:
    along = x + y * rng.uniform(0.6, 1.2) + 0.07 * _waves(x, y, rng, 2, 1)
    return _mix(_rgb(214, 70, 140), _rgb(255, 172, 212), 0.5 + 0.5 * np.sin(2 * np.pi * (2.2 * along + rng.uniform())))


def _desert(x: Field, y: Field, rng: np.random.Generator) -> Field:
    picture = _mix(_rgb(255, 150, 74), _rgb(255, 214, 132), y / 0.45)
    for level, light, dark in ((0.42, (226, 140, 62), (190, 98, 40)), (0.62, (240, 166, 84), (204, 116, 48))):
        crest = level + 0.07 * np.sin(2 * np.pi * (0.7 * x + rng.uniform())) + rng.uniform(-0.03, 0.03)
        dune = _mix(_rgb(*light), _rgb(*dark), (y - crest) / 0.4)
        picture = np.where((y > crest)[..., None], dune, picture)
    return picture


def _checkerboard(x: Field, y: Field, rng: np.random.Generator) -> Field:
    shift_x, shift_y = rng.integers(0, 8, 2) / 8
    tile = (np.floor(4 * x + shift_x) + np.floor(4 * y + shift_y)) % 2
    return _mix(_rgb(52, 56, 66), _rgb(232, 232, 236), tile)


BACKGROUNDS: tuple[Background, ...] = (
    Background("grass", ("on grass", "on the grass"), _grass),
    Background("beach", ("at the beach",), _beach),
    Background("snow", ("in the snow",), _snow),
    Background("night", ("at night",), _night),
    Background("wooden floor", ("on a wooden floor", "on top of a wooden floor"), _wooden_floor),
    Background("pink fabric", ("on pink fabric", "on top of a pink fabric"), _pink_fabric),
    Background("desert", ("in the desert",), _desert),
    Background("checkerboard", ("on a checkerboard",), _checkerboard),
)


def paint(index: int, height: int, width: int, rng: np.random.Generator) -> Field:
    """Background `index` of `BACKGROUNDS` as float RGB [height, width, 3] in 0..1."""
    y, x = np.meshgrid(
        (np.arange(height, dtype=np.float32) + 0.5) / height,
        (np.arange(width, dtype=np.float32) + 0.5) / width,
        indexing="ij",
    )
    brightness = np.float32(rng.uniform(0.95, 1.05))
    return np.clip(BACKGROUNDS[index].paint(x, y, rng) * brightness, 0, 1).astype(np.float32)

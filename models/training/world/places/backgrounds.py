"""The fourteen procedural backgrounds of the world, each with a strong look of its own and phrases to ask for it.

Ten of the usual phrases are the context prompts of the Break-A-Scene paper, word by word in lower case. Each painter
draws on normalised coordinates, so that 64 and 256 pixels a side show the same place. A painter gets `x`, `y`
(float [h, w], 0 at the left and at the top, 1 at the far edge) and returns float RGB [h, w, 3] in 0..1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from models.training.world.places import outdoors
from models.training.world.places.painting import Field, dots, mix, rgb, waves

Painter = Callable[[Field, Field, np.random.Generator], Field]


@dataclass(frozen=True)
class Background:
    """A place: its short name, the phrases that name it in a caption (the first is the usual one), its painter."""

    name: str
    phrases: tuple[str, ...]
    paint: Painter
    horizon: bool = False
    """Seen from the side, so that objects belong in the lower part."""
    ground: bool = True
    """Objects stand or lie on something that takes their shadow."""


def _night(x: Field, y: Field, rng: np.random.Generator) -> Field:
    picture = mix(rgb(8, 8, 34), rgb(38, 30, 92), y + np.float32(rng.uniform(-0.2, 0.2)))
    glow = dots(x, y, rng, 22, 0.012, 0, 0.98)[..., None]
    return picture + glow * (1 - picture)


def _wooden_floor(x: Field, y: Field, rng: np.random.Generator) -> Field:
    row = y * 5 + np.float32(rng.uniform())
    tone = rng.uniform(-0.28, 0.28, 8).astype(np.float32)[row.astype(int) % 8]
    grain = 0.16 * np.sin(2 * np.pi * (5 * y + 0.6 * np.sin(2 * np.pi * (1.1 * x + tone * 9))))
    gap = np.exp(-(((np.abs((row % 1) - 0.5) - 0.5) / 0.07) ** 2))
    return mix(rgb(120, 70, 34), rgb(206, 144, 84), 0.55 + tone + grain) * (1 - 0.55 * gap[..., None])


def _pink_fabric(x: Field, y: Field, rng: np.random.Generator) -> Field:
    along = x + y * np.float32(rng.uniform(0.6, 1.2)) + 0.07 * waves(x, y, rng, 2, 1)
    folds = np.sin(2 * np.pi * (2.2 * along + np.float32(rng.uniform())))
    return mix(rgb(214, 70, 140), rgb(255, 172, 212), 0.5 + 0.5 * folds)


def _checkerboard(x: Field, y: Field, rng: np.random.Generator) -> Field:
    shift_x, shift_y = (rng.integers(0, 8, 2) / 8).astype(np.float32)
    tile = (np.floor(4 * x + shift_x) + np.floor(4 * y + shift_y)) % 2
    return mix(rgb(52, 56, 66), rgb(232, 232, 236), tile)


def _water(x: Field, y: Field, rng: np.random.Generator) -> Field:
    ripple = np.sin(2 * np.pi * (7 * y + 0.55 * waves(x, 1.5 * y, rng, 3, 1.3)))
    picture = mix(rgb(14, 78, 168), rgb(64, 160, 226), 0.45 + 0.4 * ripple + 0.2 * (y - 0.5))
    glint = np.clip(ripple + 0.5 * np.sin(2 * np.pi * (3 * x + 2 * y + np.float32(rng.uniform()))) - 0.95, 0, 0.5) * 1.8
    return picture + glint[..., None] * (1 - picture)


BACKGROUNDS: tuple[Background, ...] = (
    Background("grass", ("on grass", "on the grass", "in the grass"), outdoors.grass),
    Background("beach", ("at the beach", "on the beach", "on the sand"), outdoors.beach, horizon=True),
    Background("jungle", ("in the jungle", "in a jungle"), outdoors.jungle),
    Background("snow", ("in the snow", "on the snow", "on snow"), outdoors.snow, horizon=True),
    Background("street", ("in the street", "on the street", "on the road"), outdoors.street, horizon=True),
    Background("pink fabric", ("on top of a pink fabric", "on pink fabric", "on a pink fabric"), _pink_fabric),
    Background("wooden floor", ("on top of a wooden floor", "on a wooden floor", "on the wooden floor"), _wooden_floor),
    Background(
        "city", ("with a city in the background", "in the city", "in front of a city"), outdoors.city, horizon=True
    ),
    Background(
        "mountain",
        ("with a mountain in the background", "in the mountains", "in front of a mountain"),
        outdoors.mountain,
        horizon=True,
    ),
    Background(
        "eiffel tower",
        ("with the eiffel tower in the background", "in front of the eiffel tower"),
        outdoors.eiffel_tower,
        horizon=True,
    ),
    Background("water", ("floating on top of water", "floating on water", "on the water"), _water, ground=False),
    Background("night", ("at night", "in the night"), _night, ground=False),
    Background("desert", ("in the desert", "in a desert"), outdoors.desert, horizon=True),
    Background("checkerboard", ("on a checkerboard", "on top of a checkerboard"), _checkerboard),
)


@lru_cache(maxsize=16)
def _coordinates(height: int, width: int) -> tuple[Field, Field]:
    y, x = np.meshgrid(
        (np.arange(height, dtype=np.float32) + 0.5) / height,
        (np.arange(width, dtype=np.float32) + 0.5) / width,
        indexing="ij",
    )
    x.flags.writeable = y.flags.writeable = False
    return x, y


def paint(index: int, height: int, width: int, rng: np.random.Generator) -> Field:
    """Background `index` of `BACKGROUNDS` as float RGB [height, width, 3] in 0..1."""
    x, y = _coordinates(height, width)
    tint = rng.uniform(0.92, 1.08) * rng.uniform(0.97, 1.03, 3)
    return np.clip(BACKGROUNDS[index].paint(x, y, rng) * tint.astype(np.float32), 0, 1).astype(np.float32)

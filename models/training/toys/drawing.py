"""A toy as pixels: its silhouette filled with colour and pattern, outlined, softly lit from above."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.training.painting import Field
from models.training.toys.palette import PALETTE
from models.training.toys.patterns import PATTERNS
from models.training.toys.roster import Toy
from models.training.toys.silhouettes import GRID, MARGIN, silhouette

OVERSAMPLE = 4
"""Pixels drawn, a side, for one that is shown: edges get their soft pixels from the reduction alone."""

_LEVELS = 24
"""Steps from the light at a toy's upper left to the shade at its lower right."""
_BRIGHTNESS = (1.05, 0.86)
"""At both ends: never so far that a colour could be taken for another."""
_STEPS = _LEVELS / 0.85
"""Steps for each longer side of the toy on the way down."""


def draw_toy(toy: Toy, longest: float, line: float, turn: float = 0.0, mirrored: bool = False) -> Image.Image:
    """The toy as premultiplied RGBa, cropped, `OVERSAMPLE` times as large as it is to be shown.

    longest: the upright silhouette's longer side, pixels shown; line: the outline's width, pixels shown; turn: degrees,
    clockwise.
    """
    shape = silhouette(toy.silhouette)
    height, width = shape.distance.shape
    side = longest * OVERSAMPLE
    cosine, sine = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    half_x, half_y = (width / 2 - MARGIN) / GRID * side, (height / 2 - MARGIN) / GRID * side
    across = int(np.ceil(abs(cosine) * half_x + abs(sine) * half_y)) + OVERSAMPLE
    down = int(np.ceil(abs(sine) * half_x + abs(cosine) * half_y)) + OVERSAMPLE
    size = (2 * across, 2 * down)

    grow, flip = GRID / side, -1.0 if mirrored else 1.0
    a, b, d, e = flip * grow * cosine, flip * grow * sine, -grow * sine, grow * cosine
    to_field = (a, b, width / 2 - a * across - b * down, d, e, height / 2 - d * across - e * down)

    def sampled(field: Field, outside: float) -> Field:
        picture = Image.fromarray(field).transform(
            size, Image.Transform.AFFINE, to_field, Image.Resampling.BILINEAR, fillcolor=outside
        )
        return np.asarray(picture, np.float32) * np.float32(side)

    depth = sampled(shape.distance, -1.0)
    column = np.arange(size[0], dtype=np.float32)[None] + np.float32(0.5 - across)
    row = np.arange(size[1], dtype=np.float32)[:, None] + np.float32(0.5 - down)
    x, y = (np.float32(u / GRID) * column + np.float32(v / GRID) * row for u, v in ((a, b), (d, e)))

    tone = PATTERNS[toy.pattern](x, y).view(np.uint8) * np.uint8(_LEVELS)
    tone += np.clip(_STEPS * (0.7 * y + 0.3 * x) + _STEPS * 0.3, 0, _LEVELS - 1).astype(np.uint8)
    tone[(depth < line * OVERSAMPLE) | (sampled(shape.ink, -1.0) > 0)] = 2 * _LEVELS
    tone[depth <= 0] = 2 * _LEVELS + 1
    picture = Image.frombytes("RGBa", size, _colours(toy.colour).take(tone, 0).tobytes())
    return picture.crop(picture.getchannel("a").getbbox())


@cache
def _colours(colour: str) -> NDArray[np.uint8]:
    """Premultiplied RGBA, [2 * `_LEVELS` + 2, 4]: the body from light to dark, the pattern likewise, the outline,
    nothing."""
    tones = PALETTE[colour]
    light = np.linspace(*_BRIGHTNESS, _LEVELS, dtype=np.float32)[:, None]
    colours = np.concatenate([light * tones.body, light * tones.pattern, tones.outline[None]])
    table = np.zeros((len(colours) + 1, 4), np.float32)
    table[:-1, :3], table[:-1, 3] = np.minimum(colours, 1), 1
    return (table * 255 + 0.5).astype(np.uint8)

"""A toy as pixels: its silhouette filled with colour and pattern, outlined, softly lit from above."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.training.world.palette import PALETTE
from models.training.world.patterns import PATTERNS
from models.training.world.places.painting import Field
from models.training.world.poses import Pose, half_box
from models.training.world.roster import Toy

OVERSAMPLE = 4
"""Pixels drawn, a side, for one that is shown: edges get their soft pixels from the reduction alone."""

_LEVELS = 24
"""Steps from the light at a toy's upper left to the shade at its lower right."""
_BRIGHTNESS = (1.05, 0.86)
"""At both ends: never so far that a colour could be taken for another."""
_STEPS = _LEVELS / 0.85
"""Steps for each longer side of the toy on the way down."""
LIGHT = np.linspace(*_BRIGHTNESS, _LEVELS, dtype=np.float32)
"""What a toy's tones are multiplied by, step by step."""


def draw_toy(toy: Toy, longest: float, line: float, turn: float = 0.0, mirrored: bool = False) -> Image.Image:
    """The toy as premultiplied RGBa, cropped, `OVERSAMPLE` times as large as it is to be shown.

    longest: the upright silhouette's longer side, pixels shown; line: the outline's width, pixels shown; turn: degrees,
    clockwise.
    """
    side = longest * OVERSAMPLE
    across, down = (int(np.ceil(half)) + OVERSAMPLE for half in half_box(toy.silhouette, side, turn))
    pose = Pose(across, down, side, turn, mirrored)
    depth, ink = (field(toy.silhouette, 2 * down, 2 * across) for field in (pose.depth, pose.ink))
    x, y = pose.coordinates(2 * down, 2 * across)

    tone = PATTERNS[toy.pattern](x, y).view(np.uint8) * np.uint8(_LEVELS)
    tone += light_steps(x, y)
    tone[(depth < line * OVERSAMPLE) | (ink > 0)] = 2 * _LEVELS
    tone[depth <= 0] = 2 * _LEVELS + 1
    picture = Image.frombytes("RGBa", (2 * across, 2 * down), _colours(toy.colour).take(tone, 0).tobytes())
    return picture.crop(picture.getchannel("a").getbbox())


def light_steps(x: Field, y: Field) -> NDArray[np.uint8]:
    """The step of `LIGHT` at places of a toy, given by its own coordinates in shares of its longer side."""
    return np.clip(_STEPS * (0.7 * y + 0.3 * x) + _STEPS * 0.3, 0, _LEVELS - 1).astype(np.uint8)


@cache
def _colours(colour: str) -> NDArray[np.uint8]:
    """Premultiplied RGBA, [2 * `_LEVELS` + 2, 4]: the body from light to dark, the pattern likewise, the outline,
    nothing."""
    tones = PALETTE[colour]
    light = LIGHT[:, None]
    colours = np.concatenate([light * tones.body, light * tones.pattern, tones.outline[None]])
    table = np.zeros((len(colours) + 1, 4), np.float32)
    table[:-1, :3], table[:-1, 3] = np.minimum(colours, 1), 1
    return (table * 255 + 0.5).astype(np.uint8)

"""The nine colours of toys: each as its own tone, the tone that its patterns are drawn in, and that of its outline."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.training.world.places.painting import Field, rgb


@dataclass(frozen=True)
class Tones:
    """RGB in 0..1, float32 [3] each."""

    body: Field
    """What the colour word says."""
    pattern: Field
    """Stripes, spots, checks and rings: the body's colour nearly white, or white's own in slate."""
    outline: Field
    """Nearly black, with a breath of the body's colour."""


def _tones(red: int, green: int, blue: int, pattern: tuple[int, int, int] | None = None) -> Tones:
    body = rgb(red, green, blue)
    light = np.float32(0.14) * body + np.float32(0.86) if pattern is None else rgb(*pattern)
    return Tones(body, light.astype(np.float32), (0.18 * body + rgb(8, 8, 14)).astype(np.float32))


PALETTE: dict[str, Tones] = {
    "red": _tones(226, 38, 44),
    "orange": _tones(252, 134, 16),
    "yellow": _tones(253, 210, 22, (255, 251, 226)),
    "green": _tones(12, 152, 84),
    "blue": _tones(38, 92, 232),
    "purple": _tones(140, 58, 204),
    "pink": _tones(255, 120, 190),
    "white": _tones(250, 250, 252, (150, 166, 196)),
    "black": _tones(46, 46, 56, (206, 208, 218)),
}
COLOURS = tuple(PALETTE)
"""Every colour's word."""

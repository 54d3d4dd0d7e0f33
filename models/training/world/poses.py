"""Where a silhouette lies in a picture, and its fields sampled there: what toys are drawn from, and read by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from models.training.world.places.painting import Field
from models.training.world.silhouettes import GRID, MARGIN, silhouette


@dataclass(frozen=True)
class Pose:
    """A place, a size and a turn. Methods take the height and width of the grid of pixels that they fill."""

    x: float
    """Of the middle of the upright silhouette's box, from the grid's left edge. Unit: pixels."""
    y: float
    """Likewise, from its top."""
    longest: float
    """The upright silhouette's longer side. Unit: pixels."""
    turn: float = 0.0
    """Clockwise. Unit: degrees."""
    mirrored: bool = False

    def depth(self, name: str, height: int, width: int) -> Field:
        """How deep inside the silhouette called `name` each pixel's middle is, in pixels, negative outside."""
        return self._sampled(silhouette(name).distance, height, width)

    def ink(self, name: str, height: int, width: int) -> Field:
        """Likewise of what is inked inside it."""
        return self._sampled(silhouette(name).ink, height, width)

    def coordinates(self, height: int, width: int) -> tuple[Field, Field]:
        """The toy's own x and y of each pixel's middle, 0 in the middle of its box, in shares of its longer side."""
        column = np.arange(width, dtype=np.float32)[None] + np.float32(0.5 - self.x)
        row = np.arange(height, dtype=np.float32)[:, None] + np.float32(0.5 - self.y)
        a, b, d, e = self._linear()
        x, y = (np.float32(u / GRID) * column + np.float32(v / GRID) * row for u, v in ((a, b), (d, e)))
        return x, y

    def _linear(self) -> tuple[float, float, float, float]:
        cosine, sine = np.cos(np.radians(self.turn)), np.sin(np.radians(self.turn))
        grow, flip = GRID / self.longest, -1.0 if self.mirrored else 1.0
        return flip * grow * cosine, flip * grow * sine, -grow * sine, grow * cosine

    def _sampled(self, field: Field, height: int, width: int) -> Field:
        a, b, d, e = self._linear()
        tall, wide = field.shape
        to_field = (a, b, wide / 2 - a * self.x - b * self.y, d, e, tall / 2 - d * self.x - e * self.y)
        picture = Image.fromarray(field).transform(
            (width, height), Image.Transform.AFFINE, to_field, Image.Resampling.BILINEAR, fillcolor=-1.0
        )
        return np.asarray(picture, np.float32) * np.float32(self.longest)


def half_box(name: str, longest: float, turn: float) -> tuple[float, float]:
    """Half the width and half the height, in pixels, of the box of a turned silhouette's own box."""
    tall, wide = silhouette(name).distance.shape
    cosine, sine = abs(np.cos(np.radians(turn))), abs(np.sin(np.radians(turn)))
    half_x, half_y = (wide / 2 - MARGIN) / GRID * longest, (tall / 2 - MARGIN) / GRID * longest
    return cosine * half_x + sine * half_y, sine * half_x + cosine * half_y

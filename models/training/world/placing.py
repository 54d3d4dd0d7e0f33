"""How toys get into a scene: placed so that none hides too much of another, shadowed, relit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Pixels = NDArray[np.float32]
"""Premultiplied RGBA, float [h, w, 4] in 0..1."""

APART, OVERLAPPING = 0.05, 0.30
"""How much of an object those in front of it may hide, as a share of its pixels, in most scenes and in the others."""


def defocused(canvas: Pixels, blur: float) -> Pixels:
    """A painted background, float [h, w, 3] in 0..1, blurred by `blur` of its shorter side. It softens the painters'
    hard edges too, which an autoencoder pays more for than for all the rest."""
    picture = Image.fromarray((canvas * 255 + 0.5).astype(np.uint8))
    soft = picture.filter(ImageFilter.GaussianBlur(blur * min(canvas.shape[:2])))
    return np.asarray(soft, np.float32) / 255


def relit(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """The pixels with brightness and contrast changed by up to 8 %."""
    brightness, contrast = rng.uniform(0.92, 1.08, 2).astype(np.float32)
    alpha = pixels[..., 3:]
    colours = (pixels[..., :3] * contrast + alpha * (0.5 - 0.5 * contrast)) * brightness
    return np.concatenate([np.clip(colours, 0, alpha), alpha], -1)


def darken_below(canvas: NDArray[np.float32], rows: slice, columns: slice, strength: np.float32) -> None:
    """A soft contact shadow, in place: an ellipse at the foot of the box, darkest in its middle by `strength`."""
    height, width = canvas.shape[:2]
    wide, tall = 0.5 * (columns.stop - columns.start), max(1.5, 0.13 * (columns.stop - columns.start))
    centre, foot = 0.5 * (columns.start + columns.stop), rows.stop - 0.35 * tall
    across = ((np.arange(width, dtype=np.float32) + 0.5 - centre) / wide) ** 2
    down = ((np.arange(height, dtype=np.float32) + 0.5 - foot) / tall) ** 2
    touched = down < 1.6
    depth = strength * np.clip(1.6 - 1.2 * (down[touched, None] + across), 0, 1)
    canvas[touched] *= 1 - depth[..., None]


class Placing:
    """Places toys one after the other in a frame, the later in front, and keeps the masks of what shows.

    No object loses more than the share `most_hidden` of its pixels to those in front of it.
    """

    def __init__(self, height: int, width: int, most_hidden: float, horizon: bool) -> None:
        self._height, self._width, self._most, self._horizon = height, width, most_hidden, horizon
        self._masks: list[NDArray[np.bool_]] = []
        self._whole: list[int] = []

    def visible(self) -> NDArray[np.bool_]:
        """bool [k, h, w]: each object's visible pixels."""
        return np.stack(self._masks) if self._masks else np.zeros((0, self._height, self._width), bool)

    def place(self, toy: Image.Image, longest: float, rng: np.random.Generator) -> tuple[Pixels, slice, slice]:
        """The toy's pixels at a longer side of `longest`, and the rows and columns they go to.

        Of up to 16 random places the first that hides little enough; when there is none, a smaller toy tries.
        """
        while True:
            ratio = min(longest / max(toy.size), self._height / toy.height, self._width / toy.width)
            size = (max(2, int(toy.width * ratio)), max(2, int(toy.height * ratio)))
            pixels = np.asarray(toy.resize(size, Image.Resampling.BILINEAR), np.float32) / 255
            solid = pixels[..., 3] > 0.5
            for _ in range(16):
                left, top = self._corner(size, rng)
                rows, columns = slice(top, top + size[1]), slice(left, left + size[0])
                if self._fits(solid, rows, columns):
                    for mask in self._masks:
                        mask[rows, columns] &= ~solid
                    self._masks.append(np.zeros((self._height, self._width), bool))
                    self._masks[-1][rows, columns] = solid
                    self._whole.append(int(solid.sum()))
                    return pixels, rows, columns
            longest *= 0.88

    def _corner(self, size: tuple[int, int], rng: np.random.Generator) -> tuple[int, int]:
        """Left and top, inside the frame; under a horizon the middle of most objects is in the lower two thirds."""
        highest = max(0, self._height // 3 - size[1] // 2) if self._horizon and rng.random() < 0.85 else 0
        lowest = self._height - size[1]
        return int(rng.integers(self._width - size[0] + 1)), int(rng.integers(min(highest, lowest), lowest + 1))

    def _fits(self, solid: NDArray[np.bool_], rows: slice, columns: slice) -> bool:
        for mask, whole in zip(self._masks, self._whole, strict=True):
            left = np.count_nonzero(mask) - np.count_nonzero(mask[rows, columns] & solid)
            if left < (1 - self._most) * whole:
                return False
        return True

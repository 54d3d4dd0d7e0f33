"""How what was drawn into a real picture is judged: the square around its region stands for the picture, since the rest
is the real one and says nothing of what was drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stages.masks.shapes import Mask, bounding_box

MARGIN = 0.25
"""Surroundings of a region that judges see on each side of it. Unit: share of its longer side."""


@dataclass(frozen=True)
class Window:
    """The square around a region, bool [h, w], of a picture: `side` pixels from row `top` and column `left` on."""

    region: Mask
    top: int
    left: int
    side: int

    @staticmethod
    def around(region: Mask) -> Window:
        """Inside the picture, whose size is the region's; of a picture that is no square, no longer than its shorter
        side."""
        x, y, width, height = bounding_box(region)
        side = min(max(1, round(max(width, height) * (1 + 2 * MARGIN))), *region.shape)
        top, left = (
            min(max(0, start + length // 2 - side // 2), size - side)
            for start, length, size in ((y, height, region.shape[0]), (x, width, region.shape[1]))
        )
        return Window(region, top, left, side)

    def seen(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The square of a picture [h, w, 3], enlarged to the picture's size."""
        return self._enlarged(picture, Image.Resampling.BICUBIC)

    def inside(self) -> Mask:
        """The region as it lies in what is seen."""
        return self._enlarged(self.region.astype(np.uint8), Image.Resampling.NEAREST) > 0

    def back(self, mask: Mask) -> Mask:
        """Where in the picture, and in the region, a mask of what is seen lies."""
        small = Image.fromarray(mask.astype(np.uint8)).resize((self.side, self.side), Image.Resampling.NEAREST)
        found = np.zeros_like(self.region)
        found[self.top : self.top + self.side, self.left : self.left + self.side] = np.asarray(small) > 0
        return found & self.region

    def _enlarged(self, picture: NDArray[np.uint8], how: Image.Resampling) -> NDArray[np.uint8]:
        square = picture[self.top : self.top + self.side, self.left : self.left + self.side]
        return np.asarray(Image.fromarray(square).resize(self.region.shape[::-1], how))


def labelled(window: Window, drawn: Mapping[int, Mask], standing: Sequence[Mask]) -> dict[int, Mask]:
    """Concept -> where it is in the picture: what was found of it in what is seen, and what of the masks of the real
    picture, one a concept, lies outside the region and so is in the picture as it was."""
    parts = {index: mask & ~window.region for index, mask in enumerate(standing)}
    for index, mask in drawn.items():
        found = window.back(mask)
        parts[index] = parts[index] | found if index in parts else found
    return {index: mask for index, mask in parts.items() if mask.any()}


def counted(window: Window, drawn: Sequence[int], asked: Sequence[int], standing: Sequence[Mask]) -> list[int]:
    """For each concept how many masks show it in the picture: those that were drawn, and its own where it stands beside
    the region. One that was asked for and is not in the region has none, since nobody can say what is there instead."""
    found = list(drawn)
    for index, mask in enumerate(standing):
        if drawn[index] or index not in asked:
            found[index] += bool((mask & ~window.region).any())
    return found

"""How what was drawn into a real picture is judged: the square around its region stands for the picture, since the rest
is the real one and says nothing of what was drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stages.evaluate.instances import Instance, in_order
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


def drawn_in(window: Window, seen: Sequence[Instance]) -> list[Instance]:
    """What was found in what is seen, as it lies in the picture; without what is no pixel there."""
    found = [replace(one, mask=window.back(one.mask)) for one in seen]
    return [one for one in found if one.mask.any()]


def standing_beside(
    window: Window, drawn: Sequence[Instance], asked: Sequence[int], standing: Sequence[Mask]
) -> list[Instance]:
    """What is in the picture as it was, by concept: of the masks of the real picture, one a concept, what lies outside
    the region. Of masks that overlap the smaller, as a whole, is on top, as things lie on tables; what is covered
    wholly is not there. Nothing of a concept that was asked for and is not in the region: nobody can say what is there
    instead."""
    lacking = set(asked) - {one.concept for one in drawn}
    covered, found = window.region.copy(), []
    for index in sorted(range(len(standing)), key=lambda each: (standing[each].sum(), -each)):
        mask = standing[index] & ~covered
        covered |= standing[index]
        if index not in lacking and mask.any():
            found.append(Instance(index, mask, None))
    return in_order(found)

"""A real picture as the drawing sees it: without the concepts that it is to draw, where they stand in it already, and
moved so that the region lies where they were learned.

Otherwise what is there is taken for what the prompt asks for; and a handle learned from one picture is drawn where it
stood in that one, wherever the region is. Either way the region is filled with ground.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from stages.masks.shapes import Mask, bounding_box, grow

RIM = 1 / 32
"""What goes with a concept around its mask: shadow, soft edge. Unit: share of the picture's side."""
SMOOTH = 1 / 32
"""How far the colours that are put in its place flow into one another. Unit: share of the picture's side."""


def without(picture: NDArray[np.uint8], masks: Sequence[Mask]) -> NDArray[np.uint8]:
    """The picture [h, w, 3] with the colours of what is next to the masks [h, w] in their place."""
    if not masks:
        return picture
    side = len(picture)
    gone = grow(np.logical_or.reduce(masks), round(RIM * side))
    if gone.all():
        return picture
    nearest = ndimage.distance_transform_edt(gone, return_distances=False, return_indices=True)
    filled = picture[tuple(nearest)]
    smooth = ndimage.gaussian_filter(filled.astype(np.float32), sigma=(SMOOTH * side, SMOOTH * side, 0))
    return np.where(gone[..., None], np.rint(smooth).astype(np.uint8), picture)


def moved(picture: NDArray[np.uint8], shift: tuple[int, int]) -> NDArray[np.uint8]:
    """The picture [h, w, 3] so many pixels down and to the right; its edge goes on where nothing was."""
    rows, columns = (
        np.clip(np.arange(size) - by, 0, size - 1) for size, by in zip(picture.shape[:2], shift, strict=True)
    )
    return picture[rows][:, columns]


def shift_to(region: Mask, learned: Mask) -> tuple[int, int]:
    """Pixels (down, right) that bring the middle of a region's box to that of what was learned, or as near as keeps all
    of the region in the picture."""
    left, top, width, height = bounding_box(region)
    x, y, wide, high = bounding_box(learned)
    down, right = y + high // 2 - (top + height // 2), x + wide // 2 - (left + width // 2)
    rows, columns = region.shape
    return min(max(down, -top), rows - top - height), min(max(right, -left), columns - left - width)

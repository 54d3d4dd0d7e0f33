"""Concepts as judges see them: a mask's pixels on black, in their place or filling the picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stages.masks.shapes import Mask, bounding_box

MARGIN = 0.08
"""Black around a concept that fills the picture. Unit: share of its longer side."""


def on_black(picture: NDArray[np.uint8], mask: Mask) -> NDArray[np.uint8]:
    """The picture [h, w, 3] with black outside the mask [h, w]."""
    return np.where(mask[..., None], picture, np.uint8(0))


def filling(picture: NDArray[np.uint8], mask: Mask) -> NDArray[np.uint8]:
    """The mask's pixels on black, scaled to fill a picture of the same size [h, w, 3]. An empty mask: black."""
    x, y, width, height = bounding_box(mask)
    side = round(max(width, height) * (1 + 2 * MARGIN))
    if not side:
        return np.zeros_like(picture)
    square = np.zeros((side, side, 3), np.uint8)
    left, top = (side - width) // 2, (side - height) // 2
    window = (slice(y, y + height), slice(x, x + width))
    square[top : top + height, left : left + width] = on_black(picture[window], mask[window])
    size = (picture.shape[1], picture.shape[0])
    return np.asarray(Image.fromarray(square).resize(size, Image.Resampling.BILINEAR))

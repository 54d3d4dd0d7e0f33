"""The square: which region of a picture it shows, and picture and masks resampled into it together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PAD_GREY = (128, 128, 128)
"""Padding is mid-grey, which models that read [-1, 1] see as zero."""

LEAST_SHARE = 1 / 4096
"""A mask that covers less of the square than one cell of a 64x64 latent grid cannot be learned; it counts as empty."""


@dataclass(frozen=True)
class Square:
    """How a picture of width x height becomes side x side.

    box: region shown, [x0, y0, x1, y1] in pixels of the picture; beyond its edges where padded.
    inner: region of the square that shows picture and not padding, [x0, y0, x1, y1] in pixels of the square.
    source: the part of `box` that lies on the picture.
    """

    side: int
    size: tuple[int, int]
    box: tuple[int, int, int, int]
    inner: tuple[int, int, int, int]
    source: tuple[int, int, int, int]


def fit_square(width: int, height: int, side: int, how: Literal["crop", "pad"]) -> Square:
    """Centre crop to the short side, or centre padding to the long one, then scaling to `side`. Unit: pixels."""
    if how == "crop":
        short = min(width, height)
        x0, y0 = (width - short) // 2, (height - short) // 2
        box = (x0, y0, x0 + short, y0 + short)
        return Square(side, (width, height), box, (0, 0, side, side), box)
    long = max(width, height)
    x0, y0 = -((long - width) // 2), -((long - height) // 2)
    inner_w, inner_h = max(1, round(width * side / long)), max(1, round(height * side / long))
    left = min(round(-x0 * side / long), side - inner_w)
    top = min(round(-y0 * side / long), side - inner_h)
    return Square(
        side,
        (width, height),
        (x0, y0, x0 + long, y0 + long),
        (left, top, left + inner_w, top + inner_h),
        (0, 0, width, height),
    )


def square_picture(image: Image.Image, square: Square) -> Image.Image:
    """The prepared picture, RGB side x side, by Lanczos (antialiased when it shrinks). The padding is added after
    scaling, so a very long picture costs no more than a square one."""
    x0, y0, x1, y1 = square.inner
    scaled = image.resize((x1 - x0, y1 - y0), Image.Resampling.LANCZOS, box=square.source)
    canvas = Image.new("RGB", (square.side, square.side), PAD_GREY)
    canvas.paste(scaled, (x0, y0))
    return canvas


def square_mask(mask: Image.Image, square: Square) -> NDArray[np.bool_]:
    """An upright soft mask (mode L) of any size -> bool [side, side] in the square's frame.

    Shrinking takes the share of each pixel that the mask covers (box filter), growing interpolates (bilinear, for
    smooth outlines); a pixel belongs to the mask from one half on. Structures thinner than a pixel of the square would
    vanish that way, so a mask that lost more than half of its area keeps the pixels that it covers at least half as
    much as its best one. Padding is never part of a mask.
    """
    scale_x, scale_y = mask.width / square.size[0], mask.height / square.size[1]
    sx0, sy0, sx1, sy1 = square.source
    region = (sx0 * scale_x, sy0 * scale_y, sx1 * scale_x, sy1 * scale_y)
    x0, y0, x1, y1 = square.inner
    shrinks = region[2] - region[0] >= x1 - x0
    how = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    cover = np.asarray(mask.resize((x1 - x0, y1 - y0), how, box=region), dtype=np.float32) / 255
    kept = cover >= 0.5
    if kept.sum() < 0.5 * cover.sum():
        kept = cover >= 0.5 * cover.max()
    out = np.zeros((square.side, square.side), dtype=bool)
    out[y0:y1, x0:x1] = kept
    return out


def is_empty(mask: NDArray[np.bool_]) -> bool:
    """Whether a mask in the square shows too little to be a concept."""
    return bool(mask.mean() < LEAST_SHARE)


def is_cut_off(mask: Image.Image, square: Square) -> bool:
    """Whether the crop takes so much of an upright mask that it is empty, while padding would keep it."""
    box = mask.getbbox()
    if box is None:
        return False
    x0, y0, x1, y1 = square.source
    scale_x, scale_y = mask.width / square.size[0], mask.height / square.size[1]
    cut = box[0] < x0 * scale_x or box[1] < y0 * scale_y or box[2] > x1 * scale_x or box[3] > y1 * scale_y
    return cut and not is_empty(square_mask(mask, fit_square(*square.size, square.side, "pad")))

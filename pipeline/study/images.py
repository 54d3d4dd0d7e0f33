"""Pictures of the rating page: all of one study encoded alike, so that no method looks worse for its encoding."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.report.thumbnails import open_picture, shrink
from schemas.masks import decode_mask

MOST_BYTES = 16_000_000
"""All pictures of a page together, before base64 makes a third more of them."""
STEPS = ((512, 88), (448, 85), (384, 82), (320, 80), (256, 75), (192, 70))
"""(longest side in pixels, WebP quality) of a page's pictures, best first."""
GREY = (128, 128, 128)
TILES = 16
"""Tiles along a side of a picture that is scrambled."""
_MARGIN = 0.12
"""Room around a concept that is cut out, as a share of its longer side."""


def opened(data: bytes) -> Image.Image:
    """RGB, no larger than a page ever shows it. Raises ValueError for what is no picture."""
    return shrink(open_picture(data), STEPS[0][0])


def cut_out(picture: Image.Image, rle: dict[str, Any]) -> Image.Image:
    """The concept of a mask alone, everything else grey: what the paper's raters were shown of the input. A mask of
    another size than the picture is scaled to it; an empty one leaves the picture as it is."""
    mask = Image.fromarray(decode_mask(rle)).resize(picture.size, Image.Resampling.NEAREST)
    ys, xs = np.nonzero(np.asarray(mask))
    if not len(ys):
        return picture
    alone = Image.composite(picture, Image.new("RGB", picture.size, GREY), mask)
    room = round(_MARGIN * max(np.ptp(xs) + 1, np.ptp(ys) + 1))
    return alone.crop((
        max(0, int(xs.min()) - room), max(0, int(ys.min()) - room),
        min(picture.width, int(xs.max()) + 1 + room), min(picture.height, int(ys.max()) + 1 + room),
    ))  # fmt: skip


def scrambled(picture: Image.Image, dice: np.random.Generator) -> Image.Image:
    """The picture's tiles in another order: its colours, and none of its objects."""
    side = max(TILES, min(picture.size) // TILES * TILES)
    pixels: NDArray[np.uint8] = np.asarray(picture.resize((side, side)))
    tile = side // TILES
    tiles = pixels.reshape(TILES, tile, TILES, tile, 3).swapaxes(1, 2).reshape(TILES * TILES, tile, tile, 3)
    mixed = dice.permutation(tiles).reshape(TILES, TILES, tile, tile, 3).swapaxes(1, 2).reshape(side, side, 3)
    return Image.fromarray(np.ascontiguousarray(mixed))


def plain(picture: Image.Image) -> Image.Image:
    """Nothing but grey, of the same size."""
    return Image.new("RGB", picture.size, GREY)


def data_uris(pictures: Sequence[Image.Image], most_bytes: int = MOST_BYTES) -> tuple[list[str], int] | None:
    """WebP data URIs of all, at the best of `STEPS` at which they come to `most_bytes` or less before base64, and the
    side in pixels that it has; None where not even the last does."""
    for side, quality in STEPS:
        found: list[bytes] = []
        total = 0
        for picture in pictures:
            found.append(_webp(shrink(picture, side), quality))
            total += len(found[-1])
            if total > most_bytes:
                break
        else:
            return ["data:image/webp;base64," + base64.b64encode(data).decode("ascii") for data in found], side
    return None


def _webp(picture: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=quality, method=2, icc_profile=None)
    return buffer.getvalue()

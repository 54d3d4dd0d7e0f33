"""A mask that somebody made: what its pixels mean, whatever the mode of the file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from schemas.errors import SceneError
from stages.ingest.decode import open_header, orientation_of, to_eight_bits
from stages.ingest.faults import MaskUnreadable


@dataclass(frozen=True)
class GivenMask:
    """image: mode L, 0 outside to 255 inside, soft edges allowed, any size, its pixels as stored. word: what it shows,
    where known. name: of its file or annotation, for messages. orientation: EXIF turn of the mask file's own."""

    image: Image.Image
    word: str | None
    name: str
    orientation: int = 1


def decode_mask_file(data: bytes, name: str, max_pixels: int) -> GivenMask:
    """A mask PNG of any mode.

    If its transparency varies, the opaque part is the mask (cut-outs); otherwise the brightest channel is. Masks of
    zeros and ones, which look black, count as masks of zeros and 255. An orientation of its own is told, not undone.
    Raises MaskUnreadable.
    """
    try:
        image = open_header(data, ("PNG",), max_pixels)
        image.load()
        return GivenMask(_plane(image), None, name, orientation_of(image))
    except MemoryError:
        raise
    except SceneError as error:
        raise MaskUnreadable(f"mask {name}: {error}") from error
    except Exception as error:  # damaged data makes Pillow raise nearly any class
        raise MaskUnreadable(f"mask {name} cannot be decoded: {error}; export it again") from error


def _plane(image: Image.Image) -> Image.Image:
    """Mode L, 0 to 255: how much of each pixel is inside."""
    values = np.asarray(image)
    if image.mode != "P" and values.ndim == 2 and values.max() == 1:
        return Image.fromarray(values.astype(np.uint8) * 255)
    image = to_eight_bits(image)
    if image.has_transparency_data:
        rgba = np.asarray(image.convert("RGBA"))
        alpha = rgba[..., 3]
        if alpha.min() != alpha.max() or not alpha.max():
            return Image.fromarray(np.ascontiguousarray(alpha))
    bright = np.asarray(image.convert("RGB")).max(axis=2)
    return Image.fromarray(bright * np.uint8(255) if bright.max() == 1 else bright)

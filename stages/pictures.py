"""Pictures and masks that our own stages wrote, read again. Strangers' files are stages/ingest/decode.py's."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FORMATS = ("PNG", "JPEG", "WEBP")
"""What our own stages write; nothing else is decoded."""


def open_picture(data: bytes) -> Image.Image:
    """A picture, RGB. Raises whatever Pillow's decoder came upon where the bytes are damaged, or not of `FORMATS`."""
    return Image.open(io.BytesIO(data), formats=FORMATS).convert("RGB")


def read_picture(data: bytes) -> NDArray[np.uint8]:
    """RGB [h, w, 3]. Raises as `open_picture` does."""
    return np.asarray(open_picture(data))


def read_mask(data: bytes) -> NDArray[np.bool_]:
    """A given mask as ingest wrote it, bool [h, w]. Raises as `open_picture` does."""
    return np.asarray(Image.open(io.BytesIO(data), formats=FORMATS).convert("L")) > 127

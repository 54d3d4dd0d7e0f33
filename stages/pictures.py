"""Pictures and masks that our own stages write, and read again. Strangers' files are stages/ingest/decode.py's."""

from __future__ import annotations

import io
from typing import Any

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


_SAVED: dict[str, dict[str, Any]] = {
    "png": {"format": "PNG"},
    "jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    "webp": {"format": "WEBP", "quality": 95},
}


def encode(picture: Image.Image, form: str) -> bytes:
    """An RGB picture as a file of a format that `generate.format` names."""
    buffer = io.BytesIO()
    picture.save(buffer, **_SAVED[form])
    return buffer.getvalue()

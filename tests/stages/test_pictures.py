"""What our own stages wrote comes back as it was; nothing else is decoded."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from pipeline.report import thumbnails
from schemas.errors import SceneError
from stages.extract.method.latents import decode_picture
from stages.pictures import FORMATS, read_mask, read_picture

PIXELS = np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8)


def encoded(pixels: np.ndarray, format_: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format_, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("format_", FORMATS)
def test_pictures_of_our_formats_come_back(format_: str) -> None:
    data = encoded(np.full((24, 32, 3), (200, 30, 90), np.uint8), format_)
    assert np.abs(read_picture(data).astype(int) - (200, 30, 90)).max() <= 4
    assert thumbnails.open_picture(data).size == (32, 24)
    assert (read_picture(encoded(PIXELS, "PNG")) == PIXELS).all()
    assert (read_picture(encoded(PIXELS[..., 0], "PNG")) == PIXELS[..., :1]).all(), "grey ones as RGB"


def test_masks_are_cut_in_the_middle() -> None:
    levels = np.array([[0, 127, 128, 255]], np.uint8)
    assert read_mask(encoded(levels, "PNG")).tolist() == [[False, False, True, True]]


@pytest.mark.parametrize("format_", ["BMP", "GIF", "TIFF"])
def test_no_other_format_is_decoded(format_: str) -> None:
    data = encoded(PIXELS, format_)
    for read in (read_picture, read_mask, lambda given: decode_picture(given, 24)):
        with pytest.raises(UnidentifiedImageError):
            read(data)
    with pytest.raises(ValueError, match="not a picture"):
        thumbnails.open_picture(data)


def test_damaged_data_is_an_error_wherever_it_is_read() -> None:
    cut = encoded(PIXELS, "PNG")[:400]
    for read in (read_picture, read_mask, lambda given: decode_picture(given, 24)):
        with pytest.raises(OSError, match="truncated"):
            read(cut)
    with pytest.raises(ValueError, match="truncated"):
        thumbnails.open_picture(cut)


def test_a_prepared_picture_has_the_side_of_the_base() -> None:
    square = encoded(PIXELS[:, :24], "PNG")
    assert float((decode_picture(square, 24).permute(1, 2, 0).numpy() * 127.5 + 127.5 - PIXELS[:, :24]).max()) < 1e-4
    with pytest.raises(SceneError, match="32x24 pixels, the base model's are 24x24"):
        decode_picture(encoded(PIXELS, "PNG"), 24)

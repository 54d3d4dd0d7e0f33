"""AVIF and HEIC: read where a decoder is there, told by name where none is, and never turned twice."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from schemas.job import Ingest, Source
from stages.ingest import decode
from stages.ingest.decode import decode_picture
from stages.ingest.faults import NotAPicture, PictureTooLarge
from stages.ingest.formats import ALWAYS, missing_decoder, picture_formats

needs_avif = pytest.mark.skipif("AVIF" not in picture_formats(), reason="Pillow without AVIF")
needs_heif = pytest.mark.skipif("HEIF" not in picture_formats(), reason="pillow-heif is not installed")
BOTH = [pytest.param("AVIF", marks=needs_avif), pytest.param("HEIF", marks=needs_heif)]


def photo(width: int = 96, height: int = 64) -> Image.Image:
    """Red left half, blue right half, a white corner at the top left."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2] = (220, 30, 30)
    pixels[:, width // 2 :] = (30, 30, 220)
    pixels[:16, :16] = 255
    return Image.fromarray(pixels)


def encoded(image: Image.Image, format_: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format_, quality=95, **options)
    return out.getvalue()


def header(major: bytes, *others: bytes) -> bytes:
    return (16 + 4 * len(others)).to_bytes(4, "big") + b"ftyp" + major + bytes(4) + b"".join(others) + bytes(200)


@pytest.mark.parametrize("format_", BOTH)
def test_they_are_read(format_: str) -> None:
    picture = decode_picture(encoded(photo(), format_), Ingest())
    assert (picture.format, picture.pages, picture.remarks) == (format_, 1, ())
    assert np.abs(np.asarray(picture.image).astype(int) - np.asarray(photo())).mean() < 8


@pytest.mark.parametrize("format_", BOTH)
@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_their_turn_is_undone_once(format_: str, orientation: int) -> None:
    inverse = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(photo().transpose(inverse[orientation]), format_, exif=exif.tobytes())
    shown = decode_picture(data, Ingest()).image
    assert shown.size == (96, 64)
    assert np.abs(np.asarray(shown).astype(int) - np.asarray(photo())).mean() < 8


@pytest.mark.parametrize("format_", BOTH)
def test_limits_come_before_their_decoder(format_: str) -> None:
    with pytest.raises(PictureTooLarge):
        decode_picture(encoded(photo(), format_), Ingest(max_pixels=1000))


def test_without_a_decoder_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "picture_formats", lambda: ALWAYS)
    for brand in (b"heic", b"mif1", b"hevc"):
        with pytest.raises(NotAPicture, match=r"HEIC picture needs pillow-heif; pip install pillow-heif"):
            decode_picture(header(brand, b"mif1", b"heic"), Ingest())
    for data in (header(b"avif", b"mif1"), header(b"mif1", b"miaf", b"avif")):
        with pytest.raises(NotAPicture, match="AVIF picture needs Pillow 11.3"):
            decode_picture(data, Ingest())


def test_a_decoder_that_is_there_is_not_asked_for() -> None:
    assert missing_decoder(header(b"heic"), (*ALWAYS, "HEIF")) is None
    assert missing_decoder(header(b"avif"), (*ALWAYS, "AVIF")) is None
    assert missing_decoder(header(b"isom", b"mp42"), ALWAYS) is None, "a film"
    assert missing_decoder(b"\x89PNG", ALWAYS) is None


def test_their_files_are_pictures_of_a_folder() -> None:
    assert {".heic", ".heif", ".avif"} <= set(Source(uri="x").suffixes)

"""Colours: what a profile says becomes sRGB, and what is not taken at its word is said."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from schemas.job import Ingest
from stages.ingest.decode import Picture, decode_picture
from tests.stages.ingest.profiles import grey, in_wide, print_of, wide_rgb

COLOURS = [(210, 30, 30), (30, 60, 210), (230, 210, 40), (110, 125, 105)]
"""Four columns of a picture, as they are to look."""


def columns(colours: list[tuple[int, ...]]) -> np.ndarray:
    return np.repeat(np.asarray(colours, np.uint8)[None], 24, axis=0).repeat(8, axis=1)


def wide_picture() -> Image.Image:
    return Image.fromarray(columns([in_wide(colour) for colour in COLOURS]))


def encoded(image: Image.Image, format_: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format_, **options)
    return out.getvalue()


def decoded(data: bytes) -> Picture:
    return decode_picture(data, Ingest())


def off_by(data: bytes, colours: list[tuple[int, int, int]] = COLOURS) -> int:
    """Largest difference from what is to be seen, in the middle of the columns."""
    picture = decoded(data)
    assert picture.remarks == ()
    shown = np.asarray(picture.image).astype(int)[12, 4::8]
    return int(np.abs(shown - np.asarray(colours)).max())


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_a_wide_profile_is_converted(format_: str) -> None:
    options = {"JPEG": {"quality": 98, "subsampling": 0}, "WEBP": {"lossless": True}}.get(format_, {})
    assert off_by(encoded(wide_picture(), format_, icc_profile=wide_rgb(), **options)) <= (8 if options else 3)


def test_a_palette_and_a_turn_keep_their_profile() -> None:
    assert off_by(encoded(wide_picture().quantize(8), icc_profile=wide_rgb())) <= 3
    exif = Image.Exif()
    exif[0x0112] = 3
    data = encoded(wide_picture(), exif=exif, icc_profile=wide_rgb())
    assert off_by(data, COLOURS[::-1]) <= 3


def test_alpha_is_kept_and_is_no_colour() -> None:
    rgba = wide_picture().convert("RGBA")
    alpha = np.full((24, 32), 255, np.uint8)
    alpha[:, 16:] = 0
    rgba.putalpha(Image.fromarray(alpha))
    data = encoded(rgba, icc_profile=wide_rgb())
    assert off_by(data, [*COLOURS[:2], (255, 255, 255), (255, 255, 255)]) <= 3


def test_sixteen_bits_are_converted_too() -> None:
    rows = np.repeat(np.asarray([in_wide(colour, white=65535) for colour in COLOURS])[None], 24, 0).repeat(8, 1)
    body = b"".join(b"\0" + row.astype(">u2").tobytes() for row in rows)
    profile = b"x\0\0" + zlib.compress(wide_rgb())
    data = png(struct.pack(">IIBBBBB", 32, 24, 16, 2, 0, 0, 0), body, (b"iCCP", profile))
    assert off_by(data) <= 3


def png(header: bytes, body: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG with more chunks before its pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(body)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def plain_png(*chunks: tuple[bytes, bytes]) -> bytes:
    rows = b"".join(b"\0" + row.tobytes() for row in columns(COLOURS))
    return png(struct.pack(">IIBBBBB", 32, 24, 8, 2, 0, 0, 0), rows, *chunks)


@pytest.mark.parametrize("deep", [False, True])
def test_a_grey_profile_is_converted(deep: bool) -> None:
    """Linear 8-bit grey of a quarter: sRGB shows it at 137."""
    image = Image.fromarray(np.full((24, 32), 16448, np.uint16)) if deep else Image.new("L", (32, 24), 64)
    data = encoded(image, icc_profile=grey(1.0))
    assert off_by(data, [(137, 137, 137)] * 4) <= 1


@pytest.mark.parametrize("format_", ["JPEG", "TIFF"])
def test_a_print_profile_is_converted(format_: str) -> None:
    """The profile says that this press prints red where it is given cyan."""
    pixels = np.zeros((24, 32, 4), np.uint8)
    pixels[:, :16, 0] = 255
    data = encoded(Image.fromarray(pixels, mode="CMYK"), format_, icc_profile=print_of((136, 208, 195)))
    shown = np.asarray(decoded(data).image).astype(int)
    red, white = shown[12, 4], shown[12, 28]
    assert red[0] > 200 > 60 > max(red[1], red[2])
    assert white.min() > 250


def test_lab_is_shown() -> None:
    lab = Image.new("LAB", (32, 24), (136, 208, 195))
    shown = np.asarray(decoded(encoded(lab, "TIFF")).image).astype(int)[12, 4]
    assert shown[0] > 200 > 60 > max(shown[1], shown[2])


def test_srgb_by_any_spelling_changes_nothing() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = decoded(encoded(image, icc_profile=srgb))
    assert np.array_equal(np.asarray(picture.image), np.asarray(image))
    assert picture.remarks == ()


def test_black_point_compensation_makes_the_darkest_ink_black() -> None:
    dark = print_of((136, 208, 195))
    black = Image.new("CMYK", (32, 24), (0, 0, 0, 255))
    assert np.asarray(decoded(encoded(black, "TIFF", icc_profile=dark)).image).max() <= 2


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        (wide_rgb()[:200], "damaged"),
        (b"no profile at all", "damaged"),
        (wide_rgb()[:140] + bytes(200), "damaged"),
        (grey(1.0), "of GRAY, its pixels are RGB"),
        (print_of((136, 208, 195)), "of CMYK, its pixels are RGB"),
        (wide_rgb().replace(b"mntr", b"link"), "link"),
        (wide_rgb().replace(b"RGB ", b"\x17GB "), "of no known space"),
    ],
    ids=["cut short", "text", "zeros", "grey", "print", "device link", "nonsense"],
)
def test_a_profile_that_cannot_be_meant_is_ignored_and_said(profile: bytes, said: str) -> None:
    picture = decoded(encoded(Image.fromarray(columns(COLOURS)), icc_profile=profile))
    assert np.array_equal(np.asarray(picture.image), columns(COLOURS))
    assert len(picture.remarks) == 1
    assert said in picture.remarks[0]
    assert "read as sRGB" in picture.remarks[0]


def test_a_profile_whose_packing_is_damaged_is_said() -> None:
    picture = decoded(plain_png((b"iCCP", b"x\0\0" + b"not zlib")))
    assert np.array_equal(np.asarray(picture.image), columns(COLOURS))
    assert "damaged" in picture.remarks[0]


def test_print_colours_without_a_profile_are_said() -> None:
    picture = decoded(encoded(Image.new("CMYK", (32, 24), (255, 0, 0, 0)), "JPEG"))
    assert "CMYK without a colour profile" in picture.remarks[0]


@pytest.mark.parametrize(
    ("chunks", "said"),
    [
        ([(b"gAMA", struct.pack(">I", 100000))], "gAMA"),
        ([(b"cHRM", struct.pack(">8I", 31270, 32900, 70800, 29200, 17000, 79700, 13100, 4600))], "cHRM"),
        ([(b"cICP", bytes([9, 16, 0, 1]))], "primaries 9 and transfer 16"),
        ([(b"gAMA", struct.pack(">I", 45455))], None),
        ([(b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000))], None),
        ([(b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 55556))], None),
        ([(b"cICP", bytes([1, 13, 0, 1]))], None),
    ],
)
def test_chunks_that_name_other_colours_are_said_and_not_applied(
    chunks: list[tuple[bytes, bytes]], said: str | None
) -> None:
    picture = decoded(plain_png(*chunks))
    assert np.array_equal(np.asarray(picture.image), columns(COLOURS))
    assert [said in remark for remark in picture.remarks] == ([True] if said else [])


def test_a_cameras_adobe_rgb_without_a_profile_is_said() -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA005] = {1: "R03"}
    picture = decoded(encoded(Image.fromarray(columns(COLOURS)), "JPEG", exif=exif))
    assert "Adobe RGB" in picture.remarks[0]

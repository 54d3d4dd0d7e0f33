"""Decoding: every odd mode ends as upright RGB, every bad file as a reason, and limits come before pixels."""

from __future__ import annotations

import io
import resource
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile

from schemas.job import Ingest
from stages.ingest import faults
from stages.ingest.decode import decode_picture
from stages.ingest.webp import webp_size

LIMITS = Ingest()


def encoded(image: Image.Image, format_: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format_, **options)
    return out.getvalue()


def photo(width: int = 60, height: int = 40) -> Image.Image:
    """Red left half, blue right half, a white corner at the top left."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2] = (220, 30, 30)
    pixels[:, width // 2 :] = (30, 30, 220)
    pixels[:8, :8] = 255
    return Image.fromarray(pixels)


def pixels_of(data: bytes) -> np.ndarray:
    image = decode_picture(data, LIMITS).image
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


def with_orientation(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
def test_every_format_decodes_to_the_same_picture(format_: str) -> None:
    options = {"quality": 95} if format_ in ("JPEG", "WEBP") else {}
    data = encoded(photo(), format_, **options)
    assert decode_picture(data, LIMITS).format == format_
    assert np.abs(pixels_of(data) - np.asarray(photo()).astype(int)).mean() < 6


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_rotation_is_undone(orientation: int, format_: str) -> None:
    """The stored pixels are made from the upright ones by the inverse turn, so decoding must give the upright ones."""
    inverse = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    stored = photo() if inverse is None else photo().transpose(inverse)
    options = {"JPEG": {"quality": 95}, "WEBP": {"lossless": True}}.get(format_, {})
    picture = decode_picture(encoded(stored, format_, exif=with_orientation(orientation), **options), LIMITS)
    assert picture.orientation == orientation
    assert picture.stored_size == stored.size
    assert picture.image.size == (60, 40)
    assert np.abs(np.asarray(picture.image).astype(int) - np.asarray(photo())).mean() < 6


def test_nonsense_orientation_is_ignored() -> None:
    assert decode_picture(encoded(photo(), "JPEG", exif=with_orientation(77)), LIMITS).image.size == (60, 40)


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    ramp = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (32, 1))
    for format_ in ("PNG", "TIFF"):
        grey = pixels_of(encoded(Image.fromarray(ramp), format_))
        assert np.abs(grey[0, :, 0] - np.linspace(0, 255, 64)).max() <= 1
        assert (grey[..., 0] == grey[..., 2]).all()


def sixteen_bit_rgb_png(values: np.ndarray) -> bytes:
    """Pillow cannot write one. values: [height, width, 3] uint16."""
    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def test_sixteen_bit_rgb_is_scaled_not_clipped() -> None:
    values = np.zeros((20, 64, 3), np.uint16)
    values[..., 1] = np.linspace(0, 65535, 64).astype(np.uint16)
    assert np.abs(pixels_of(sixteen_bit_rgb_png(values))[0, :, 1] - np.linspace(0, 255, 64)).max() <= 1


def test_float_and_integer_tiffs_keep_their_range() -> None:
    ramp = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (32, 1))
    for values in (ramp, ramp * 255, (ramp * 65535).astype(np.int32)):
        assert np.abs(pixels_of(encoded(Image.fromarray(values), "TIFF"))[0, :, 0] - np.linspace(0, 255, 64)).max() <= 1
    ramp[3, 3] = np.nan
    assert pixels_of(encoded(Image.fromarray(ramp), "TIFF"))[3, 3].tolist() == [0, 0, 0]


def test_cmyk_comes_out_in_its_colours() -> None:
    for format_ in ("JPEG", "TIFF"):
        shown = pixels_of(encoded(photo().convert("CMYK"), format_))
        assert np.abs(shown - np.asarray(photo()).astype(int)).mean() < 12


def test_transparency_lies_on_white() -> None:
    rgba = photo().convert("RGBA")
    rgba.putalpha(Image.fromarray(np.where(np.arange(60) < 30, 255, 0).astype(np.uint8)[None].repeat(40, 0)))
    shown = pixels_of(encoded(rgba))
    assert shown[20, 10].tolist() == [220, 30, 30]
    assert shown[20, 50].tolist() == [255, 255, 255]
    half = Image.new("LA", (20, 20), (0, 128))
    assert abs(pixels_of(encoded(half))[5, 5, 0] - 127) <= 1


def test_palettes_with_and_without_transparency() -> None:
    palette = photo().quantize(8)
    assert np.abs(pixels_of(encoded(palette)) - np.asarray(photo()).astype(int)).mean() < 4
    clear = palette.getpixel((50, 20))
    shown = pixels_of(encoded(palette, transparency=clear))
    assert shown[20, 50].tolist() == [255, 255, 255]
    assert shown[20, 10, 0] > 200 > shown[20, 10, 2]


def test_bilevel_and_grey() -> None:
    assert pixels_of(encoded(Image.new("1", (20, 20), 1)))[3, 3].tolist() == [255, 255, 255]
    assert pixels_of(encoded(Image.new("L", (20, 20), 77)))[3, 3].tolist() == [77, 77, 77]


@pytest.mark.parametrize("format_", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_animation_the_first_frame(format_: str) -> None:
    frames = [Image.new("RGB", (32, 32), colour) for colour in ((200, 0, 0), (0, 200, 0), (0, 0, 200))]
    options = {"lossless": True} if format_ == "WEBP" else {}
    shown = pixels_of(encoded(frames[0], format_, save_all=True, append_images=frames[1:], **options))
    assert shown[16, 16, 0] > 180
    assert shown[16, 16, 1] < 20


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
@pytest.mark.parametrize("permissive", [False, True])
def test_truncated_files_are_refused_whatever_else_set(
    format_: str, permissive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a file: noise, so that half of the bytes really are missing."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", permissive)
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    data = encoded(noise, format_)
    with pytest.raises((faults.PictureBroken, faults.NotAPicture)) as caught:
        decode_picture(data[: len(data) // 2], LIMITS)
    assert str(caught.value).strip()
    assert permissive is ImageFile.LOAD_TRUNCATED_IMAGES, "the setting of others is left alone"


def test_no_bytes_no_picture_and_other_files() -> None:
    with pytest.raises(faults.FileEmpty, match="zero bytes"):
        decode_picture(b"", LIMITS)
    for data in (b"hello, this is text", b"%PDF-1.7\n" + bytes(500), b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff" + bytes(99)):
        with pytest.raises((faults.NotAPicture, faults.PictureBroken)):
            decode_picture(data, LIMITS)


def test_formats_off_the_list_never_reach_their_decoder() -> None:
    for format_ in ("PPM", "TGA", "ICO", "EPS", "PDF", "JPEG2000"):
        with pytest.raises(faults.NotAPicture, match="JPEG PNG WEBP"):
            decode_picture(encoded(photo(), format_), LIMITS)


def png_header(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in (body, data)
    )


def webp_header(width: int, height: int) -> bytes:
    """A lossless WebP whose header claims another size: 14 bits each of width - 1 and height - 1 after a 0x2f."""
    data = bytearray(encoded(photo(), "WEBP", lossless=True))
    at = data.index(b"VP8L") + 9
    bits = int.from_bytes(data[at : at + 4], "little") >> 28 << 28 | (height - 1) << 14 | (width - 1)
    data[at : at + 4] = bits.to_bytes(4, "little")
    return bytes(data)


@pytest.mark.parametrize(
    "make",
    [
        lambda: png_header(60000, 60000),
        lambda: b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 60000, 60000, 1, 24, 0, 0, 0, 0, 0, 0),
        lambda: (
            b"GIF89a"
            + struct.pack("<HHBBB", 60000, 60000, 0, 0, 0)
            + b"\x2c"
            + struct.pack("<HHHHB", 0, 0, 60000, 60000, 0)
            + b"\x08\x01\x00\x00\x3b"
        ),
        lambda: webp_header(16383, 16383),
    ],
    ids=["png", "bmp", "gif", "webp"],
)
def test_a_huge_header_is_refused_before_it_costs_memory(make: Any) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(faults.PictureTooLarge):
        decode_picture(make(), LIMITS)
    grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown_mib < 64, "60000 x 60000 x 3 bytes would be 10 GiB"


def test_the_pixel_limit_is_the_specs_in_both_directions() -> None:
    with pytest.raises(faults.PictureTooLarge, match=r"60x40 pixels .* ingest.max_pixels \(2000\)"):
        decode_picture(encoded(photo()), Ingest(max_pixels=2000))
    large = encoded(Image.new("1", (14000, 14000)))  # over the limits that Pillow itself would set
    with pytest.raises(faults.PictureTooLarge):
        decode_picture(large, LIMITS)


def test_a_claim_without_bytes_is_refused_before_its_decoder_sees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """34 bytes of WebP took 1.5 GB: its decoder takes the memory when it is opened, within the limit of pixels."""
    data = webp_header(9800, 10_000)
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("opened"))
    with pytest.raises(
        faults.PictureTooLarge, match=r"claims 9800x10000 pixels for \d+ bytes, more than ingest.max_pix"
    ):
        decode_picture(data, LIMITS)


def test_the_limit_of_pixels_per_byte_is_the_specs() -> None:
    """The emptiest picture that the usual packings make is under it, and one that is meant can be let in."""
    assert decode_picture(encoded(Image.new("1", (9000, 9000))), LIMITS).image.size == (9000, 9000)
    flat = encoded(Image.new("RGB", (2000, 2000), "red"), "WEBP", lossless=True)
    assert 10_000 * len(flat) < 2000 * 2000
    with pytest.raises(faults.PictureTooLarge, match="ingest.max_pixels_per_byte"):
        decode_picture(flat, LIMITS)
    assert decode_picture(flat, Ingest(max_pixels_per_byte=1_000_000)).image.size == (2000, 2000)


def test_the_size_of_a_webp_is_read_as_its_decoder_reads_it() -> None:
    for width, height in ((16, 17), (300, 16), (1000, 3)):
        film = {"save_all": True, "append_images": [Image.new("RGB", (width, height))]}
        for options in ({}, {"lossless": True}, {"exif": b"Exif\0\0II*\0"}, film):
            data = encoded(photo(width, height), "WEBP", **options)
            assert webp_size(data) == Image.open(io.BytesIO(data)).size == (width, height)
    for other in (
        b"",
        encoded(photo(), "PNG"),
        encoded(photo(), "WEBP")[:29],
        b"RIFF" + bytes(4) + b"WEBPJUNK" + bytes(99),
    ):
        assert webp_size(other) is None


def test_short_sides_are_refused() -> None:
    with pytest.raises(faults.PictureTooSmall, match=r"min_side \(16\)"):
        decode_picture(encoded(photo(300, 15)), LIMITS)
    assert decode_picture(encoded(photo(300, 16)), LIMITS).image.size == (300, 16)


def test_damaged_exif_does_not_cost_the_picture() -> None:
    data = encoded(photo(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f" + bytes(20))
    assert decode_picture(data, LIMITS).image.size == (60, 40)

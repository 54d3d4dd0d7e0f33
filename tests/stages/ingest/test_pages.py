"""Pages: how many pictures a file holds is told, and copies of the first are none."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image, TiffImagePlugin

from schemas.job import Ingest
from stages.ingest.decode import decode_picture


def pages(count: int = 3) -> list[Image.Image]:
    """Red, green, blue. New ones each time: Pillow leaves the settings of an encoder on a picture that it saved."""
    return [Image.new("RGB", (32, 24), colour) for colour in ((200, 0, 0), (0, 200, 0), (0, 0, 200))][:count]


def encoded(images: list[Image.Image], format_: str, **options: Any) -> bytes:
    out = io.BytesIO()
    images[0].save(out, format_, save_all=True, append_images=images[1:], **options)
    return out.getvalue()


def pages_of(data: bytes) -> int:
    picture = decode_picture(data, Ingest())
    assert picture.image.getpixel((16, 12))[0] > 180, "the first is the picture"
    return picture.pages


@pytest.mark.parametrize("format_", ["TIFF", "GIF", "WEBP", "PNG", "AVIF"])
def test_pages_and_frames_are_counted(format_: str) -> None:
    assert pages_of(encoded(pages(), format_)) == 3


@pytest.mark.parametrize("format_", ["TIFF", "GIF", "WEBP", "PNG", "JPEG", "BMP", "AVIF"])
def test_a_plain_picture_has_one(format_: str) -> None:
    out = io.BytesIO()
    pages()[0].save(out, format_)
    assert pages_of(out.getvalue()) == 1


def tiff_of(*kinds: int) -> bytes:
    """One page a NewSubfileType."""
    out = io.BytesIO()
    with TiffImagePlugin.AppendingTiffWriter(out) as file:
        for image, kind in zip(pages(), kinds, strict=False):
            image.save(file, "TIFF", tiffinfo={254: kind})
            file.newFrame()
    return out.getvalue()


def test_smaller_copies_and_masks_in_a_tiff_are_no_pages() -> None:
    assert pages_of(tiff_of(0, 1, 4)) == 1
    assert pages_of(tiff_of(0, 1, 2)) == 2


def test_a_preview_in_an_mpo_is_no_page_and_a_second_view_is() -> None:
    """Pillow writes stereo-like entries; a phone's say `Undefined` for the gain map, or `Large Thumbnail`."""
    data = encoded(pages(2), "MPO")
    at = data.index(b"MPF\0")
    kinds = [0x020002, 0x000000, 0x010001]
    counts = []
    for kind in kinds:
        changed = bytearray(data)
        first = changed.index(b"\x02\xb0", at)  # the tag of the entries, little endian
        offset = int.from_bytes(changed[first + 8 : first + 12], "little") + at + 4
        for entry in range(2):
            whole = kind if entry or kind == 0x020002 else 0x030000
            changed[offset + 16 * entry : offset + 16 * entry + 4] = whole.to_bytes(4, "little")
        counts.append(pages_of(bytes(changed)))
    assert counts == [2, 1, 1]


def test_damage_behind_the_first_page_costs_its_count_only() -> None:
    data = encoded(pages(), "TIFF")
    second = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[second : second + 2], "little")
    at = second + 2 + 12 * count
    assert pages_of(data[:at] + b"\xff\xff\xff\x7f" + data[at + 4 :]) == 1
    loop = data[:at] + second.to_bytes(4, "little") + data[at + 4 :]
    assert pages_of(loop) == 1

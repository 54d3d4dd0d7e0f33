"""Masks that come with the pictures, in files beside them in every mode."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from schemas.job import Ingest
from stages.ingest.decode import Picture
from stages.ingest.faults import MaskUnreadable
from stages.ingest.given_masks.given_mask import GivenMask, decode_mask_file

WIDTH, HEIGHT = 60, 40
PICTURE = Picture(Image.new("RGB", (WIDTH, HEIGHT)), "PNG")
INSIDE = np.zeros((HEIGHT, WIDTH), bool)
INSIDE[10:30, 20:50] = True


def encoded(image: Image.Image, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", **options)
    return out.getvalue()


def grey(inside: int = 255, outside: int = 0) -> Image.Image:
    return Image.fromarray(np.where(INSIDE, inside, outside).astype(np.uint8))


def colours(inside: tuple[int, ...], outside: tuple[int, ...]) -> Image.Image:
    return Image.fromarray(np.where(INSIDE[..., None], inside, outside).astype(np.uint8))


def palette(index: int, colour: tuple[int, int, int]) -> Image.Image:
    image = Image.fromarray(np.where(INSIDE, index, 0).astype(np.uint8)).convert("P")
    image.putpalette([0, 0, 0] + [0] * (3 * index - 3) + list(colour))
    return image


def only_mask(image: Image.Image) -> GivenMask:
    masks = decode_mask_file(encoded(image), "mask0.png", Ingest())
    assert [mask.name for mask in masks] == ["mask0.png"]
    return masks[0]


def inside_of(mask: GivenMask) -> np.ndarray:
    assert mask.image.mode == "L"
    return np.asarray(mask.image) > 127


@pytest.mark.parametrize(
    "image",
    [
        grey(),
        grey(200, 30),
        grey(1),
        grey().convert("1"),
        Image.fromarray(np.where(INSIDE, 65535, 0).astype(np.uint16)),
        Image.fromarray(INSIDE.astype(np.uint16)),
        colours((0, 0, 255), (0, 0, 0)),
        colours((200, 10, 10), (100, 100, 100)),
        colours((1, 1, 1), (0, 0, 0)),
        colours((255, 255, 255, 255), (0, 0, 0, 255)),
        colours((0, 0, 0, 255), (0, 0, 0, 0)),
        colours((90, 20, 30, 255), (255, 255, 255, 0)),
        colours((0, 255), (255, 0)),
        palette(3, (128, 0, 0)),
    ],
    ids=[
        "L",
        "L soft",
        "L of 0 and 1",
        "1",
        "16 bit",
        "16 bit of 0 and 1",
        "one channel",
        "RGB over half",
        "RGB of 0 and 1",
        "RGBA opaque",
        "black cut-out",
        "cut-out of a picture",
        "LA",
        "palette",
    ],
)
def test_masks_of_any_mode_mean_the_same(image: Image.Image) -> None:
    assert np.array_equal(inside_of(only_mask(image)), INSIDE)


def test_an_all_clear_mask_is_empty() -> None:
    assert not inside_of(only_mask(colours((255, 255, 255, 0), (9, 9, 9, 0)))).any()
    assert not inside_of(only_mask(grey(0))).any()


def test_a_damaged_or_huge_mask_is_named() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8))
    for data in (b"", b"text", encoded(noise)[:2000]):
        with pytest.raises(MaskUnreadable, match=r"mask7\.png"):
            decode_mask_file(data, "mask7.png", Ingest())
    with pytest.raises(MaskUnreadable, match="max_pixels"):
        decode_mask_file(encoded(noise), "mask7.png", Ingest(max_pixels=4000))

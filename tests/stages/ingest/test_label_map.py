"""One mask or several in a file: plain ones of any value, soft edges, label maps; and what is neither, refused."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from schemas.job import Ingest
from stages.ingest.faults import MaskUnreadable
from stages.ingest.given_masks.given_mask import GivenMask, decode_mask_file

SIZE = (96, 64)
BOXES = [(4, 4, 30, 40), (30, 10, 60, 50), (66, 6, 90, 60)]
"""Three things; the first two touch."""


def labels(*values: int) -> np.ndarray:
    """One value a thing on a ground of 0."""
    out = np.zeros(SIZE[::-1], np.int64)
    for value, (x0, y0, x1, y1) in zip(values, BOXES, strict=False):
        out[y0:y1, x0:x1] = value
    return out


def encoded(image: Image.Image, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", **options)
    return out.getvalue()


def image_of(codes: np.ndarray, mode: str = "L") -> Image.Image:
    if mode == "16":
        return Image.fromarray(codes.astype(np.uint16))
    image = Image.fromarray(codes.astype(np.uint8))
    if mode == "RGB":
        return image.convert("RGB")
    if mode == "P":
        image = image.convert("P")
        rng = np.random.default_rng(0)
        image.putpalette([0, 0, 0, *rng.integers(1, 255, 255 * 3).tolist()])
    return image


def coloured(codes: np.ndarray, colours: dict[int, tuple[int, int, int]]) -> Image.Image:
    pixels = np.zeros((*codes.shape, 3), np.uint8)
    for code, colour in colours.items():
        pixels[codes == code] = colour
    return Image.fromarray(pixels)


def decoded(image: Image.Image, **options: Any) -> list[GivenMask]:
    return decode_mask_file(encoded(image, **options), "a.mask0.png", Ingest())


def inside(mask: GivenMask) -> np.ndarray:
    return np.asarray(mask.image) > 127


def refusal(image: Image.Image, **options: Any) -> str:
    with pytest.raises(MaskUnreadable, match=r"^mask a\.mask0\.png: ") as caught:
        decoded(image, **options)
    return str(caught.value)


def disc(size: int = 64, radius: float = 20, scale: int = 8, level: int = 255) -> Image.Image:
    """A disc with antialiased edges."""
    image = Image.new("L", (size * scale, size * scale))
    middle = size * scale / 2
    far = radius * scale
    ImageDraw.Draw(image).ellipse((middle - far, middle - far, middle + far, middle + far), fill=level)
    return image.resize((size, size), Image.Resampling.BOX)


@pytest.mark.parametrize("value", [1, 2, 38, 90, 127, 128, 254, 255])
@pytest.mark.parametrize("mode", ["L", "P", "16", "RGB"])
def test_the_only_value_is_the_mask_whatever_it_is(value: int, mode: str) -> None:
    (mask,) = decoded(image_of(labels(value, value), mode))
    assert mask.name == "a.mask0.png"
    assert np.array_equal(inside(mask), labels(1, 1) > 0)
    assert set(np.unique(np.asarray(mask.image))) == {0, 255}


@pytest.mark.parametrize(
    ("values", "mode"),
    [
        ((1, 2, 3), "L"),
        ((2, 1), "L"),
        ((38, 75, 113), "L"),
        ((200, 201, 202), "L"),
        ((254, 100), "L"),
        ((1, 2, 3), "P"),
        ((7, 20, 254), "P"),
        ((1, 2, 3), "16"),
        ((24001, 26001, 26002), "16"),
        ((255, 256, 700), "16"),
        ((1, 2, 3), "RGB"),
    ],
)
def test_a_label_map_is_one_mask_a_value_in_ascending_order(values: tuple[int, ...], mode: str) -> None:
    masks = decoded(image_of(labels(*values), mode))
    assert [mask.name for mask in masks] == [f"a.mask0.png value {value}" for value in sorted(values)]
    for mask, value in zip(masks, sorted(values), strict=True):
        assert np.array_equal(inside(mask), labels(*values) == value)


def test_thin_and_small_labels_are_labels() -> None:
    codes = labels(3, 3)
    codes[2, 64:90] = 1
    codes[50:53, 70:73] = 2
    masks = decoded(image_of(codes))
    assert [int(inside(mask).sum()) for mask in masks] == [26, 9, int((codes == 3).sum())]


@pytest.mark.parametrize("bits", [2, 4])
def test_labels_of_two_and_four_bits_keep_their_numbers(bits: int) -> None:
    codes = labels(1, 2, 3)
    per_byte = 8 // bits
    rows = b""
    for row in codes:
        rows += b"\0" + bytes(
            sum(int(v) << bits * (per_byte - 1 - k) for k, v in enumerate(row[i : i + per_byte]))
            for i in range(0, len(row), per_byte)
        )

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", SIZE[0], SIZE[1], bits, 0, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    masks = decode_mask_file(data, "m", Ingest())
    assert [mask.name for mask in masks] == ["m value 1", "m value 2", "m value 3"]
    assert np.array_equal(inside(masks[1]), codes == 2)


def test_a_map_of_colours_is_one_mask_a_colour() -> None:
    masks = decoded(coloured(labels(1, 2, 3), {1: (128, 128, 0), 2: (0, 0, 128), 3: (0, 128, 0)}))
    assert [mask.name.rpartition(" ")[2] for mask in masks] == ["#000080", "#008000", "#808000"]
    assert np.array_equal(inside(masks[0]), labels(1, 2, 3) == 2)
    dark = decoded(coloured(labels(1, 2), {1: (1, 2, 3), 2: (2, 1, 3)}))
    assert [mask.name.rpartition(" ")[2] for mask in dark] == ["#010203", "#020103"], "unlike colours never merge"
    reds = decoded(coloured(labels(1, 2), {1: (64, 0, 0), 2: (128, 0, 0)}))
    assert np.array_equal(inside(reds[0]), labels(1, 2) == 1)


@pytest.mark.parametrize(
    "image",
    [
        disc(),
        disc(radius=6),
        disc(level=200),
        disc().resize((256, 256), Image.Resampling.NEAREST),
        disc().resize((256, 256), Image.Resampling.BICUBIC),
        disc().filter(ImageFilter.GaussianBlur(4)),
        disc(512, 120, 2).filter(ImageFilter.GaussianBlur(30)),
        disc(1024, 250, 1).filter(ImageFilter.GaussianBlur(100)),
        disc().convert("P"),
        disc().quantize(6),
        Image.merge("RGB", (disc(), Image.new("L", (64, 64)), Image.new("L", (64, 64)))),
        Image.fromarray(np.asarray(disc()).astype(np.uint16) * 257),
        Image.fromarray(np.asarray(disc()).astype(np.uint16)),
        Image.merge("LA", (Image.new("L", (64, 64), 77), disc())),
    ],
    ids=[
        "antialiased",
        "small",
        "under white",
        "enlarged, hard",
        "enlarged, soft",
        "feathered",
        "feathered wide",
        "feathered very wide",
        "grey palette",
        "few greys",
        "red",
        "16 bit",
        "8 bit in 16",
        "alpha",
    ],
)
def test_soft_edges_are_those_of_one_mask(image: Image.Image) -> None:
    (mask,) = decoded(image)
    assert mask.name == "a.mask0.png"
    bright = image.getchannel("A") if image.mode == "LA" else image
    values = np.asarray(bright.convert("L") if bright.mode == "P" else bright).astype(float)
    values = values.max(axis=2) if values.ndim == 3 else values
    white = 65535 if values.max() > 255 else 255
    assert np.array_equal(inside(mask), values > white / 2)


def test_an_edge_that_jpeg_has_frayed_is_still_one() -> None:
    out = io.BytesIO()
    disc().save(out, "JPEG", quality=60)
    image = Image.open(out)
    (mask,) = decoded(image)
    assert np.array_equal(inside(mask), np.asarray(image) > 127)


def photograph(mode: str) -> Image.Image:
    """A thing with texture, cut out on black."""
    rng = np.random.default_rng(0)
    shade = np.linspace(60, 220, SIZE[0])[None, :, None] + rng.normal(0, 12, (SIZE[1], SIZE[0], 3))
    pixels = (shade.clip(0, 255) * (labels(1, 1)[..., None] > 0)).astype(np.uint8)
    return Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
def test_a_photograph_is_no_mask(mode: str) -> None:
    assert "photograph and not a mask" in refusal(photograph(mode))


def test_a_cut_out_photograph_is() -> None:
    rgba = photograph("RGB").convert("RGBA")
    rgba.putalpha(image_of(labels(255, 255)))
    (mask,) = decoded(rgba)
    assert np.array_equal(inside(mask), labels(1, 1) > 0)


def test_what_may_be_read_in_two_ways_is_refused() -> None:
    for mode in ("L", "P", "16"):
        assert "value 255 stands beside 1, 2," in refusal(image_of(labels(1, 2, 255), mode))
    assert "value 255 stands beside 128," in refusal(image_of(labels(128, 255)))
    white = coloured(labels(1, 2), {1: (255, 255, 255), 2: (0, 90, 0)})
    assert "colour #ffffff stands beside #005a00" in refusal(white)
    for codes in (labels(2, 3) + 1, labels(2, 2) + 1):
        assert "save the ground as 0" in refusal(image_of(codes))
    assert "save the ground as 0" in refusal(coloured(labels(1, 2), {0: (9, 9, 9), 1: (90, 0, 0), 2: (0, 90, 0)}))
    resized = image_of(labels(60, 120)).resize((300, 200), Image.Resampling.BILINEAR)
    assert "without smoothing" in refusal(resized)
    colours = coloured(labels(1, 2), {1: (0, 0, 200), 2: (0, 200, 0)})
    assert "without smoothing" in refusal(colours.resize((300, 200), Image.Resampling.BILINEAR))
    assert "raise it to white" in refusal(disc(level=100))
    many = np.kron(np.arange(1, 41).reshape(5, 8), np.ones((8, 8), int))
    many[0] = 0
    assert "40 labels, more than 32" in refusal(image_of(many))


def tiles(rows: int, columns: int, side: int = 10) -> np.ndarray:
    """Touching things numbered row by row from 1, on a ground of 0."""
    numbers = np.arange(1, rows * columns + 1).reshape(rows, columns)
    return np.pad(np.kron(numbers, np.ones((side, side), int)), 5)


@pytest.mark.parametrize(
    ("codes", "mode", "held"),
    [
        (tiles(8, 17), "L", 136),
        (tiles(17, 8, 30), "RGB", 136),
        (tiles(68, 2, 20), "L", 136),
        (tiles(1, 50) * 4, "L", 50),
        (tiles(50, 1, 24) * 5, "L", 50),
        (tiles(1, 50) * 1000, "16", 50),
        (tiles(20, 20) * 100, "16", 400),
    ],
    ids=["tiles", "larger tiles", "two a row", "strips", "strips up to 250", "16 bit strips", "16 bit tiles"],
)
def test_labels_as_dense_as_a_feather_are_too_many_labels(codes: np.ndarray, mode: str, held: int) -> None:
    assert f"it holds {held} labels, more than 32" in refusal(image_of(codes, mode))


def test_bands_that_fill_the_picture_have_no_ground() -> None:
    """From 1 to 136 in order: the numbers of bands, or a ramp that begins and ends at greys."""
    assert "none of its 136 values (1, 2, 3 ...) is 0" in refusal(image_of(tiles(136, 1, 8)[5:-5, 5:-5]))


def test_a_ramp_over_all_greys_is_a_soft_mask() -> None:
    ramp = np.tile(np.linspace(0, 255, 1000), (60, 1))
    (mask,) = decoded(image_of(ramp))
    assert np.array_equal(np.asarray(mask.image), ramp.astype(np.uint8))


@pytest.mark.parametrize(
    ("dark", "light", "mode"),
    [
        (2, 255, "L"),
        (1, 200, "L"),
        (1, 254, "RGB"),
        (40, 255, "L"),
        (120, 180, "L"),
        (2, 255, "16"),
        (900, 60000, "16"),
        (24001, 33001, "16"),
    ],
)
def test_two_numbers_without_a_ground_cannot_be_told(dark: int, light: int, mode: str) -> None:
    codes = np.where(labels(1, 1) > 0, light, dark)
    assert f"none of its 2 values ({dark}, {light}) is 0" in refusal(image_of(codes, mode))


def test_flat_colours_on_a_transparent_ground_may_be_labels() -> None:
    rgba = coloured(labels(1, 2), {1: (200, 0, 0), 2: (0, 0, 200)}).convert("RGBA")
    rgba.putalpha(image_of(np.where(labels(1, 2) > 0, 255, 0)))
    assert "#0000c8, #c80000" in refusal(rgba)
    assert "transparent ground" in refusal(image_of(labels(1, 2), "P"), transparency=0)


@pytest.mark.parametrize("clear", [(0, 0, 0, 0), (255, 255, 255, 0), (255, 0, 255, 90)])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "soft"])
def test_a_clear_corner_cuts_nothing_out(mode: str, clear: tuple[int, ...]) -> None:
    grey = disc() if mode == "soft" else image_of(labels(255, 0))
    image = grey.convert("RGBA")
    image.putpixel((0, 0), clear)
    (mask,) = decoded(image.convert("LA") if mode == "LA" else image)
    assert np.array_equal(np.asarray(mask.image), np.asarray(grey))


@pytest.mark.parametrize("lit", [(255, 255, 255), (90, 90, 90), (200, 0, 0)])
def test_an_alpha_of_254_cuts_nothing_out(lit: tuple[int, int, int]) -> None:
    image = coloured(labels(1), {1: lit}).convert("RGBA")
    image.putalpha(image_of(np.where(labels(1) > 0, 254, 255)))
    (mask,) = decoded(image)
    assert np.array_equal(inside(mask), labels(1) > 0)


def test_labels_in_colours_or_a_palette_with_a_clear_corner_are_labels() -> None:
    image = coloured(labels(1, 2), {1: (0, 0, 128), 2: (0, 128, 0)}).convert("RGBA")
    image.putpixel((95, 0), (255, 255, 255, 0))
    assert [mask.name.rpartition(" ")[2] for mask in decoded(image)] == ["#000080", "#008000"]
    codes = labels(1, 2)
    codes[0, 95] = 200
    masks = decoded(image_of(codes, "P"), transparency=200)
    assert [mask.name.rpartition(" ")[2] for mask in masks] == ["1", "2"]


def test_a_photograph_with_clear_corners_is_still_cut_out() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 4), dtype=np.uint8)
    noise[..., 3] = 255
    noise[:8, :8, 3] = 0
    (mask,) = decoded(Image.fromarray(noise))
    assert np.array_equal(inside(mask), noise[..., 3] > 0)


def test_an_animation_is_refused() -> None:
    frame = image_of(labels(255))
    assert "3 frames" in refusal(frame, save_all=True, append_images=[image_of(labels(9)), image_of(labels(0, 9))])

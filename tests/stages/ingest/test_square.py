"""The square: geometry of crop and pad, and masks that stay on their objects whatever happens to the picture."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from PIL import Image

from stages.ingest.square import PAD_GREY, fit_square, is_empty, square_mask, square_picture


def scene(width: int, height: int, box: tuple[int, int, int, int]) -> tuple[Image.Image, Image.Image]:
    """A green picture with a red box, and the box's mask."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[...] = (20, 160, 20)
    mask = np.zeros((height, width), np.uint8)
    x0, y0, x1, y1 = box
    pixels[y0:y1, x0:x1] = (230, 20, 20)
    mask[y0:y1, x0:x1] = 255
    return Image.fromarray(pixels), Image.fromarray(mask)


def red(image: Image.Image) -> np.ndarray:
    return (
        np.asarray(image)[..., 0] > 125
        if image.mode == "L"
        else ((np.asarray(image)[..., 0] > 125) & (np.asarray(image)[..., 1] < 90))
    )


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_boxes_of_crop_and_pad() -> None:
    assert fit_square(300, 200, 64, "crop").box == (50, 0, 250, 200)
    assert fit_square(200, 301, 64, "crop").box == (0, 50, 200, 250)
    padded = fit_square(300, 200, 60, "pad")
    assert padded.box == (0, -50, 300, 250)
    assert padded.inner == (0, 10, 60, 50)
    assert fit_square(64, 64, 64, "pad").box == fit_square(64, 64, 64, "crop").box == (0, 0, 64, 64)


@pytest.mark.parametrize("how", ["crop", "pad"])
@pytest.mark.parametrize(("width", "height"), [(300, 200), (200, 300), (257, 255), (40, 31), (64, 64), (1000, 333)])
@pytest.mark.parametrize("side", [64, 96])
def test_masks_stay_on_their_objects(how: Literal["crop", "pad"], width: int, height: int, side: int) -> None:
    box = (int(width * 0.4), int(height * 0.35), int(width * 0.6), int(height * 0.75))
    image, mask = scene(width, height, box)
    square = fit_square(width, height, side, how)
    shown = square_picture(image, square)
    assert shown.size == (side, side)
    assert overlap(red(shown), square_mask(mask, square)) > 0.85
    half = mask.resize((width // 2, height // 2), Image.Resampling.BOX)
    assert overlap(red(shown), square_mask(half, square)) > 0.7, "a mask of half the size is the same mask"


@pytest.mark.parametrize("how", ["crop", "pad"])
def test_the_box_says_where_the_square_is(how: Literal["crop", "pad"]) -> None:
    image, _ = scene(300, 200, (100, 60, 140, 120))
    square = fit_square(300, 200, 100, how)
    x0, y0, x1, _ = square.box
    rows, columns = np.nonzero(red(square_picture(image, square)))
    scale = (x1 - x0) / 100
    assert columns.min() * scale + x0 == pytest.approx(100, abs=scale)
    assert (rows.max() + 1) * scale + y0 == pytest.approx(120, abs=scale)


def test_padding_is_grey_and_never_mask() -> None:
    image, mask = scene(300, 100, (0, 0, 300, 100))
    square = fit_square(300, 100, 60, "pad")
    shown = np.asarray(square_picture(image, square))
    assert (shown[:19] == PAD_GREY).all()
    assert (shown[41:] == PAD_GREY).all()
    covered = square_mask(mask, square)
    assert covered[20:40].all()
    assert covered.sum() == 20 * 60


def test_a_very_long_picture_is_padded_without_a_huge_canvas() -> None:
    image = Image.new("RGB", (200_000, 20))
    square = fit_square(*image.size, 64, "pad")
    assert square_picture(image, square).size == (64, 64)
    assert square.inner[3] - square.inner[1] == 1


def test_shrinking_is_antialiased() -> None:
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    shown = np.asarray(square_picture(Image.fromarray(stripes), fit_square(512, 512, 64, "crop")))
    assert np.abs(shown.astype(int) - 127).max() < 20


def test_thin_masks_do_not_vanish_and_full_ones_do_not_grow() -> None:
    thin = np.zeros((512, 512), np.uint8)
    thin[:, 201] = 255
    thin[300, :] = 255
    square = fit_square(512, 512, 64, "crop")
    covered = square_mask(Image.fromarray(thin), square)
    assert covered[:, 25].all()
    assert covered[37, :].all()
    assert covered.sum() == 64 + 64 - 1
    solid = np.zeros((512, 512), np.uint8)
    solid[103:403, 103:403] = 255
    assert abs(int(square_mask(Image.fromarray(solid), square).sum()) * 64 - 300 * 300) < 0.03 * 300 * 300


def test_soft_edges_are_cut_in_the_middle() -> None:
    ramp = np.tile(np.linspace(0, 255, 128).astype(np.uint8), (128, 1))
    covered = square_mask(Image.fromarray(ramp), fit_square(128, 128, 64, "crop"))
    assert covered[5].sum() == pytest.approx(32, abs=1)


def test_what_counts_as_empty() -> None:
    mask = np.zeros((512, 512), bool)
    assert is_empty(mask)
    mask[:7, :9] = True
    assert is_empty(mask), "63 pixels are less than one latent cell of 8 x 8"
    mask[:8, :8] = True
    assert not is_empty(mask)

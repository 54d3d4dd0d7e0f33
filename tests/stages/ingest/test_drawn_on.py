"""Which pixels masks were drawn on: known from a size, from the mask's own turn, or from the spec; never guessed."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from stages.ingest.decode import Picture, turn
from stages.ingest.faults import MaskMisfit, MasksAmbiguous
from stages.ingest.given_masks.drawn_on import DrawnOn, unstated_size, upright_mask
from stages.ingest.given_masks.given_mask import GivenMask

SIDEWAYS, OVER = (5, 6, 7, 8), (2, 3, 4)


def stored_mask(width: int = 120, height: int = 80) -> Image.Image:
    """A box at the upper left of the stored pixels."""
    pixels = np.zeros((80, 120), np.uint8)
    pixels[10:30, 10:50] = 255
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BOX)


def picture_of(orientation: int, width: int = 120, height: int = 80) -> Picture:
    """A picture of that stored size, with a turn that decoding undid."""
    return Picture(turn(Image.new("RGB", (width, height)), orientation), "JPEG", orientation)


def as_shown(stored: Image.Image, orientation: int) -> Image.Image:
    return turn(stored, orientation)


def given(image: Image.Image, orientation: int = 1) -> GivenMask:
    return GivenMask(image, None, "mask7.png", orientation)


def same(a: Image.Image, b: Image.Image) -> bool:
    return np.array_equal(np.asarray(a), np.asarray(b))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("scale", [1, 2])
def test_stored_follows_the_turn_of_the_picture_and_shown_does_not(orientation: int, scale: int) -> None:
    drawn, picture = stored_mask(120 // scale, 80 // scale), picture_of(orientation)
    upright = as_shown(drawn, orientation)
    assert same(upright_mask(given(drawn), picture, "stored"), upright)
    assert same(upright_mask(given(upright), picture, "shown"), upright)


@pytest.mark.parametrize("orientation", SIDEWAYS)
@pytest.mark.parametrize("scale", [1, 2])
def test_a_quarter_turn_is_known_by_the_size(orientation: int, scale: int) -> None:
    drawn, picture = stored_mask(120 // scale, 80 // scale), picture_of(orientation)
    upright = as_shown(drawn, orientation)
    assert same(upright_mask(given(drawn), picture, "auto"), upright)
    assert same(upright_mask(given(upright), picture, "auto"), upright)


@pytest.mark.parametrize("orientation", SIDEWAYS)
def test_of_nearly_square_pictures_the_exact_size_is_known_and_a_scaled_one_is_not(orientation: int) -> None:
    picture = picture_of(orientation, 401, 400)
    assert upright_mask(given(stored_mask(401, 400)), picture, "auto").size == (400, 401)
    assert upright_mask(given(stored_mask(400, 401)), picture, "auto").size == (400, 401)
    with pytest.raises(MasksAmbiguous):
        upright_mask(given(stored_mask(200, 200)), picture, "auto")


@pytest.mark.parametrize("orientation", OVER)
def test_a_half_turn_or_a_flip_cannot_be_known(orientation: int) -> None:
    with pytest.raises(MasksAmbiguous) as caught:
        upright_mask(given(stored_mask()), picture_of(orientation), "auto")
    sentence = str(caught.value)
    assert "mask7.png" in sentence
    assert f"orientation {orientation}" in sentence
    assert sentence.endswith("set source.masks_drawn_on to stored or to shown, run the job, then retry")


@pytest.mark.parametrize("orientation", SIDEWAYS)
def test_nor_can_a_quarter_turn_of_a_square(orientation: int) -> None:
    with pytest.raises(MasksAmbiguous):
        upright_mask(given(stored_mask(80, 80)), picture_of(orientation, 80, 80), "auto")


@pytest.mark.parametrize("orientation", OVER)
def test_a_mask_that_looks_the_same_either_way_cannot_be_wrong(orientation: int) -> None:
    pixels = np.zeros((80, 120), np.uint8)
    pixels[30:50, 40:80] = 255
    middle = Image.fromarray(pixels)
    assert same(upright_mask(given(middle), picture_of(orientation), "auto"), middle)


@pytest.mark.parametrize("drawn_on", ["auto", "shown", "stored"])
@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_mask_saved_with_the_turn_of_its_picture_is_turned_once(orientation: int, drawn_on: DrawnOn) -> None:
    drawn = given(stored_mask(), orientation)
    assert same(upright_mask(drawn, picture_of(orientation), drawn_on), as_shown(drawn.image, orientation))


def test_a_turn_of_the_masks_own_is_as_viewers_show_it_unless_the_pixels_are_meant() -> None:
    drawn, plain = given(stored_mask(), 3), picture_of(1)
    assert same(upright_mask(drawn, plain, "auto"), turn(drawn.image, 3))
    assert same(upright_mask(drawn, plain, "shown"), turn(drawn.image, 3))
    assert same(upright_mask(drawn, plain, "stored"), drawn.image)
    mirrored = picture_of(2)
    assert same(upright_mask(drawn, mirrored, "auto"), turn(drawn.image, 3)), "never a second turn"
    assert same(upright_mask(drawn, mirrored, "stored"), turn(drawn.image, 2))


def test_a_turn_that_was_copied_to_an_upright_mask_shows_in_the_size() -> None:
    drawn = given(stored_mask(), 6)
    assert same(upright_mask(drawn, picture_of(1), "auto"), drawn.image)


def test_masks_of_another_shape_are_refused_by_name() -> None:
    picture = Picture(Image.new("RGB", (120, 80)), "PNG")
    with pytest.raises(MaskMisfit, match=r"mask7\.png is 100x80, its picture 120x80"):
        upright_mask(given(Image.new("L", (100, 80))), picture, "auto")
    with pytest.raises(MaskMisfit):
        upright_mask(given(Image.new("L", (80, 120))), picture, "auto")
    assert upright_mask(given(Image.new("L", (599, 400))), picture, "auto").size == (599, 400)


@pytest.mark.parametrize(
    ("drawn_on", "size", "other"), [("shown", (120, 80), "stored"), ("stored", (80, 120), "shown")]
)
def test_a_setting_that_a_size_contradicts_is_named(drawn_on: DrawnOn, size: tuple[int, int], other: str) -> None:
    with pytest.raises(MaskMisfit, match=f"masks_drawn_on: {drawn_on}; set that to {other}, in an output of its own$"):
        upright_mask(given(Image.new("L", size)), picture_of(6), drawn_on)


def test_coordinates_without_a_size_refer_to_the_pixels_that_the_spec_names() -> None:
    assert unstated_size(picture_of(6), "stored", "entry") == (120, 80)
    assert unstated_size(picture_of(6), "shown", "entry") == (80, 120)
    assert unstated_size(picture_of(3), "auto", "entry") == (120, 80)
    with pytest.raises(MasksAmbiguous, match="the entry .* source.masks_drawn_on"):
        unstated_size(picture_of(6), "auto", "the entry")

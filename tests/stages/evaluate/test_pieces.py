"""The arithmetic of scores, on numbers and pictures made by hand."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from schemas.evaluate import Evaluate
from stages.evaluate.copies import contrast, correlation, find_copies, thumbnail
from stages.evaluate.matching import assign, detect
from stages.evaluate.verdict import Scores, collapsed, name_of, why_not
from stages.masks.label_mask import label_mask
from stages.masks.views import filling, on_black


def similarities(rows: list[list[float]]) -> np.ndarray:
    return np.array(rows, dtype=np.float32)


def test_masks_are_given_so_that_the_sum_is_highest_and_none_twice() -> None:
    table = similarities([[0.9, 0.8, 0.1], [0.8, 0.1, 0.3], [0.0, 0.0, 0.7]])
    assert assign(table, [0, 1]) == {0: 1, 1: 0}, "each concept's own best would give mask 0 twice"
    assert assign(table, [1, 2]) == {1: 0, 2: 2}, "concept 0 is not asked for and takes no mask"
    assert assign(table[:, :1], [0, 1]) == {0: 0}, "of one mask the better concept"
    assert assign(table[:, :0], [0, 1]) == {}
    assert assign(table, []) == {}


def test_a_mask_is_the_concept_it_is_most_like_if_it_is_like_it_at_all() -> None:
    table = similarities([[0.9, 0.6, 0.3, 0.7], [0.8, 0.7, 0.4, 0.7], [0.99, 0.1, 0.1, 0.1]])
    assert detect(table, [0, 1], 0.6) == [0, 1, None, 0], "concept 2 is not among them"
    assert detect(table, [0, 1, 2], 0.6)[0] == 2
    assert detect(table, [0, 1], 0.75) == [0, None, None, None]
    assert detect(table, [], 0.0) == [None] * 4
    assert detect(table[:, :0], [0, 1], 0.0) == []


def pattern(seed: int, side: int = 64) -> np.ndarray:
    """Blobs of colour: the same in any size."""
    small = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((side, side), Image.Resampling.NEAREST))


def test_correlation_of_pictures() -> None:
    one, other = thumbnail(pattern(0)), thumbnail(pattern(1))
    assert correlation(one, one) == pytest.approx(1, abs=1e-5)
    assert correlation(one, thumbnail(pattern(0)[:, ::-1])) == pytest.approx(1, abs=1e-5), "mirrored"
    assert correlation(one, thumbnail(pattern(0, side=128))) == pytest.approx(1, abs=1e-5), "another size"
    assert correlation(one, thumbnail((pattern(0) // 2).astype(np.uint8))) > 0.999, "darker"
    assert abs(correlation(one, other)) < 0.4
    assert correlation(thumbnail(255 - pattern(0)), one) < 0.4
    flat = thumbnail(np.full((64, 64, 3), 77, np.uint8))
    assert correlation(flat, flat) == 0, "pictures of one colour have nothing in common, and nothing to correlate"


def test_of_near_duplicates_the_later_goes_and_no_copy_is_an_original() -> None:
    def blend(share: float) -> np.ndarray:
        return thumbnail((pattern(1) * (1 - share) + pattern(2) * share).astype(np.uint8))

    source = thumbnail(pattern(0))
    pictures = [
        ("k0", "snow", blend(0.0)),
        ("k1", "snow", blend(0.3)),
        ("k2", "snow", blend(0.6)),
        ("k3", "beach", blend(0.0)),
        ("k4", "snow", thumbnail(pattern(0)[:, ::-1])),
        ("k5", "snow", blend(0.05)),
    ]
    assert correlation(blend(0.0), blend(0.3)) > 0.8 > correlation(blend(0.0), blend(0.6))
    assert correlation(blend(0.3), blend(0.6)) > 0.8
    found = find_copies(source, pictures, 0.8)
    assert [name for _, name in found] == [None, "k0", None, None, "source", "k0"]
    assert found[4][0] == pytest.approx(1, abs=1e-5)
    assert found[1][0] == pytest.approx(correlation(blend(0.0), blend(0.3)))
    assert [name for _, name in find_copies(source, pictures, None)] == [None] * 6
    unlimited = find_copies(source, pictures, None)
    assert unlimited[2][0] == pytest.approx(correlation(blend(0.3), blend(0.6))), "then k1 is an original"


def test_contrast_is_the_deviation_of_brightness() -> None:
    halves = np.zeros((4, 8, 3), np.uint8)
    assert contrast(halves) == 0
    halves[:, 4:] = 255
    assert contrast(halves) == pytest.approx(0.5)
    red = np.zeros((4, 8, 3), np.uint8)
    red[:, 4:, 0] = 200
    assert contrast(red) == pytest.approx(0.299 * 100 / 255)


GOOD = {
    "prompt_similarity": 0.3,
    "identity_similarity": 0.7,
    "found": {"<asset0> (cat)": 1, "<asset1>": 1},
    "contrast": 0.2,
    "copy_similarity": 0.1,
    "copy_of": None,
}
STRICT = Evaluate(min_prompt=0.3, min_identity=0.7, concepts="complete", max_copy=0.9, min_contrast=0.2)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"prompt_similarity": 0.29}, "prompt: similarity 0.290 under 0.3"),
        ({"identity_similarity": 0.69}, "identity: similarity 0.690 under 0.7"),
        ({"found": {"<asset0> (cat)": 2, "<asset1>": 1}}, "incomplete: found <asset0> (cat) 2 times"),
        ({"found": {"<asset0> (cat)": 0, "<asset1>": 3}}, "missing: <asset0> (cat) not found"),
        ({"found": {"<asset0> (cat)": 0, "<asset1>": 0}}, "missing: <asset0> (cat) and <asset1> not found"),
        ({"contrast": 0.19}, "collapsed: contrast 0.190 under 0.2"),
        ({"copy_of": "source", "copy_similarity": 0.95}, "copy of source: correlation 0.950 over 0.9"),
        ({"copy_of": "s-0001", "copy_similarity": 0.95, "prompt_similarity": 0.0}, "copy of s-0001"),
        ({"contrast": 0.0, "copy_of": "source", "found": {"<asset0>": 0}}, "collapsed"),
        ({"found": {"<asset0>": 0}, "identity_similarity": 0.0, "prompt_similarity": 0.0}, "prompt"),
        ({"found": {"<asset0>": 0}, "identity_similarity": 0.0}, "identity"),
    ],
)
def test_the_first_reason_that_holds_is_given(change: dict[str, object], reason: str | None) -> None:
    scores = Scores(**{**GOOD, **change})
    found = why_not(scores, STRICT)
    assert (found is None) == (reason is None)
    assert (found or "").startswith(reason or "")
    assert collapsed(scores, STRICT) == (scores.contrast < 0.2)


def test_by_default_a_picture_without_a_concept_is_not_kept_and_one_with_two_of_it_is() -> None:
    poor = {**GOOD, "prompt_similarity": -0.9, "identity_similarity": -0.9}
    lacking, doubling = (Scores(**{**poor, "found": {"<asset0>": 1, "<asset1>": count}}) for count in (0, 2))
    assert why_not(lacking, Evaluate()) == "missing: <asset1> not found"
    assert why_not(doubling, Evaluate()) is None
    assert not doubling.complete
    assert why_not(lacking, Evaluate(concepts="any")) is None, "only flat pictures and copies go"


def test_a_reason_names_a_concept_by_what_is_known_of_it() -> None:
    assert name_of(1, "<asset1>", "mug") == "<asset1> (mug)"
    assert name_of(1, "<asset1>", None) == "<asset1>"
    assert name_of(1, None, "mug") == "concept 1 (mug)"


def test_a_label_mask_reads_back_as_indices() -> None:
    ground, top = np.ones((6, 9), bool), np.zeros((6, 9), bool)
    top[1:3, 2:5] = True
    image = Image.open(io.BytesIO(label_mask((6, 9), {4: ground, 0: top})))
    assert (image.format, image.mode, image.size) == ("PNG", "P", (9, 6))
    expected = np.full((6, 9), 5)
    expected[top] = 1
    assert np.array_equal(np.asarray(image), expected)
    assert image.convert("RGB").getpixel((2, 1)) == (128, 0, 0), "Pascal VOC's first colour"
    assert image.convert("RGB").getpixel((0, 0)) == (128, 0, 128), "and its fifth"
    assert not np.asarray(Image.open(io.BytesIO(label_mask((6, 9), {})))).any()


def test_a_concept_on_black_in_its_place_and_filling_the_picture() -> None:
    picture = np.full((40, 40, 3), 200, np.uint8)
    picture[4:12, 26:38] = (10, 250, 10)
    mask = np.zeros((40, 40), bool)
    mask[4:12, 26:38] = True
    placed = on_black(picture, mask)
    assert (placed[mask] == (10, 250, 10)).all()
    assert not placed[~mask].any()
    large = filling(picture, mask)
    assert large.shape == picture.shape
    assert np.allclose(large[20, 20], (10, 250, 10), atol=2)
    assert not large[:, 0].any(), "a margin stays black"
    green = large[..., 1] > 125
    assert green.any(axis=0).sum() >= 30, "twelve pixels wide before"
    assert abs(green.any(axis=1).sum() / green.any(axis=0).sum() - 8 / 12) < 0.1, "in its own proportions"
    assert not filling(picture, ~mask & mask).any()

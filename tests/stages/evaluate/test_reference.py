"""The threshold that a scene's own pictures give: it parts what is the concept from what is not, wherever a judge's
cosines lie."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from stages.evaluate.reference import NEAR, ground_views, own_views, threshold
from stages.evaluate.source_scene import read_source
from stages.masks.views import on_black
from tests.stages.evaluate.test_judging import (
    GREEN,
    GREY,
    ORANGE,
    RED,
    SOURCE,
    ColourJudge,
    canvas,
    cosine,
    source_task,
)

RED_MASK, GREEN_MASK = ((colour == SOURCE).all(axis=2) for colour in (RED, GREEN))


class Shifted:
    """A judge whose every cosine is `a + b` times that of another's: one more dimension that all pictures share."""

    def __init__(self, judge: Any, shift: float) -> None:
        self.judge, self.shift = judge, shift

    def features(self, pictures: np.ndarray) -> torch.Tensor:
        own = self.judge.features(pictures)
        return torch.cat([own * (1 - self.shift) ** 0.5, torch.full((len(own), 1), self.shift**0.5)], dim=1)


def at(judge: Any, masks: list[np.ndarray], picture: np.ndarray = SOURCE) -> float:
    features = judge.features(np.stack([on_black(picture, mask) for mask in masks])).numpy()
    return threshold(picture, masks, features, judge)


def test_own_views_are_the_concept_and_nothing_else() -> None:
    views = own_views(SOURCE, RED_MASK)
    assert len(views) == 6
    for view in views:
        assert view.shape == SOURCE.shape
        assert view.dtype == np.uint8
        assert view[..., 0].any()
        assert not view[..., 1:].any(), "no pixel of the other concept or of the ground"
    area = [int((view[..., 0] > 100).sum()) for view in views]
    assert area[0] == area[4] == area[5] == RED_MASK.sum()
    assert 0.4 < area[3] / area[0] < 0.7, "shrunk"
    assert all(0.9 < turned / area[0] < 1.1 for turned in area[1:3])
    rows, columns = np.nonzero(views[5][..., 0])
    assert abs(rows.mean() - 31.5) <= 1
    assert abs(columns.mean() - 31.5) <= 1, "in the middle"


def test_ground_has_the_concept_s_shape_and_none_of_any_concept() -> None:
    views = ground_views(SOURCE, RED_MASK, RED_MASK | GREEN_MASK)
    assert len(views) == 3
    for view in views:
        assert set(map(tuple, view.reshape(-1, 3).tolist())) == {(0, 0, 0), GREY}
        assert view.any(axis=2).sum() == RED_MASK.sum()
    assert len({view.tobytes() for view in views}) == 3
    everywhere = np.ones_like(RED_MASK)
    assert ground_views(SOURCE, RED_MASK, everywhere) == []


def test_it_lies_between_the_concept_and_ground() -> None:
    grey = cosine(GREY, RED)
    expected = grey + NEAR * (1 - grey)
    assert at(ColourJudge(), [RED_MASK, GREEN_MASK]) == pytest.approx(expected, abs=1e-3)
    assert read_source(source_task(), ColourJudge()).found_at == pytest.approx(expected, abs=1e-3)
    assert read_source(source_task(), ColourJudge(), 0.3).found_at == 0.3


def test_it_moves_with_a_judge_whose_cosines_lie_elsewhere() -> None:
    plain, masks = at(ColourJudge(), [RED_MASK, GREEN_MASK]), [RED_MASK, GREEN_MASK]
    for shift in (0.3, 0.8):
        assert at(Shifted(ColourJudge(), shift), masks) == pytest.approx(shift + (1 - shift) * plain, abs=1e-4)


def test_concepts_that_are_much_alike_do_not_move_it() -> None:
    alike = canvas((RED, 4, 4, 20, 20), (ORANGE, 36, 36, 20, 20))
    masks = [(colour == alike).all(axis=2) for colour in (RED, ORANGE)]
    expected = np.mean([grey + NEAR * (1 - grey) for grey in (cosine(GREY, RED), cosine(GREY, ORANGE))])
    assert at(ColourJudge(), masks, alike) == pytest.approx(expected, abs=1e-3)
    assert expected < cosine(RED, ORANGE) + NEAR * (1 - cosine(RED, ORANGE)) - 0.05


def test_where_there_is_no_ground_the_others_stand_for_it() -> None:
    halves = canvas((RED, 0, 0, 32, 64), (ORANGE, 32, 0, 32, 64))
    masks = [(colour == halves).all(axis=2) for colour in (RED, ORANGE)]
    other = cosine(RED, ORANGE)
    assert at(ColourJudge(), masks, halves) == pytest.approx(other + NEAR * (1 - other), abs=1e-3)


def test_a_concept_that_fills_the_picture_is_held_against_grey() -> None:
    red = canvas((RED, 0, 0, 64, 64))
    grey = cosine(GREY, RED)
    assert at(ColourJudge(), [np.ones((64, 64), bool)], red) == pytest.approx(grey + NEAR * (1 - grey), abs=1e-3)


def test_it_is_the_same_whether_ground_is_a_concept_too() -> None:
    without, with_ground = (
        read_source(source_task(background), ColourJudge()).found_at for background in (False, True)
    )
    assert with_ground == without


def test_a_speck_that_the_judge_does_not_see_says_nothing() -> None:
    speck = np.zeros_like(RED_MASK)
    speck[60, 60] = True  # of ground's own colour
    plain = at(ColourJudge(), [RED_MASK, GREEN_MASK])
    assert at(ColourJudge(), [RED_MASK, GREEN_MASK, speck]) == pytest.approx(plain, abs=1e-3)
    assert at(ColourJudge(), [speck]) == pytest.approx(1, abs=1e-3), "for want of another"


def test_it_is_a_number_where_ground_is_more_like_a_concept_than_its_own_views() -> None:
    class Backwards(ColourJudge):
        def features(self, pictures: np.ndarray) -> torch.Tensor:
            own = super().features(pictures)
            own[: len(pictures) - 1] *= -1  # but the last, which is ground
            return own

    features = ColourJudge().features(np.stack([on_black(SOURCE, RED_MASK)])).numpy()
    judge: Any = Backwards()
    assert np.isfinite(threshold(SOURCE, [RED_MASK], features, judge))

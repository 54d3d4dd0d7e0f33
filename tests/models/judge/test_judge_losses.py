"""What the judge is trained by and scored with: contrasts, boxes, spreads, against answers known beforehand."""

from __future__ import annotations

import math

import pytest
import torch

from models.training.judge.losses import contrast, identity_loss, matching_loss, normalised
from models.training.judge.scores import chance_above, equal_error, retrieval, spread
from models.training.judge.views import boxes


def test_contrast_counts_right_leaves_out_what_fits_and_skips_rows_without_any() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.5, -1.0], [0.3, 0.2, 0.1, 0.0]])
    right = torch.tensor([[1, 0, 1, 0], [0, 0, 0, 0]]).bool()
    left_out = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]]).bool()
    total = math.exp(2.0) + math.exp(0.5) + math.exp(-1.0)
    expected = -(math.log(math.exp(2.0) / total) + math.log(math.exp(0.5) / total)) / 2
    logits.requires_grad_()
    loss = contrast(logits, right, left_out)
    assert loss.item() == pytest.approx(expected, abs=1e-6)
    loss.backward()
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[0, 1] == 0


def test_equal_captions_of_two_pictures_are_no_rivals() -> None:
    features, scale = normalised(torch.eye(3, 8)), torch.tensor(50.0)
    same = captions = features[[0, 0, 2]]  # equal captions have equal features, which one right answer would punish
    keys, fits = torch.tensor([5, 5, 7]), torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1]]).bool()
    loss = matching_loss(same, captions, scale, torch.arange(3), fits, keys)
    assert loss.item() == pytest.approx(math.log(2) * 2 / 3, abs=1e-4)  # only the choice between equals is left
    nothing = torch.tensor([[1, 1, 0], [0, 0, 0], [0, 0, 1]]).bool()
    losses = [
        matching_loss(pictures, captions, scale, torch.tensor([0, -1, 2]), nothing, keys)
        for pictures in (same, features)
    ]
    assert losses[0] > losses[1] + 0.2  # a picture of nothing that is like a caption's picture is a rival


def test_identity_loss_wants_views_of_one_toy_near_and_junk_far() -> None:
    near, far = normalised(torch.eye(4, 8)[[0, 0, 1, 1, 2]]), normalised(torch.eye(4, 8)[[0, 1, 0, 1, 2]])
    toys = torch.tensor([7, 7, 9, 9, -1])
    assert identity_loss(near, toys) < 0.01
    assert identity_loss(far, toys) > 9
    assert identity_loss(normalised(torch.eye(4, 8)[[0, 0, 1, 1, 0]]), toys) > 0.3


def test_boxes_are_centres_and_longer_sides() -> None:
    masks = torch.zeros(2, 1, 8, 8)
    masks[0, 0, 2:4, 4:8] = 1
    centre, size = boxes(masks)
    assert centre[0].tolist() == [0.5, -0.25]
    assert size.tolist() == [1.0, 2.0]
    assert centre[1].tolist() == [0.0, 0.0]


def test_retrieval_counts_both_ways() -> None:
    captions = torch.eye(3)
    pictures = torch.tensor([[1.0, 0.0, 0.0], [0.9, 0.1, 0.0], [0.0, 0.2, 0.8]])
    assert retrieval(pictures, captions) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    pictures[1] = torch.tensor([0.9, 0.3, 0.0])  # now the second caption finds it, but it still finds the first
    assert retrieval(pictures, captions) == (pytest.approx(2 / 3), pytest.approx(1))


def test_equal_error_lies_where_as_many_are_wrong_on_either_side() -> None:
    apart = equal_error(torch.tensor([0.8, 0.9, 0.7]), torch.tensor([0.1, 0.5]))
    assert apart == (pytest.approx(0.7), 0)
    mixed = equal_error(torch.tensor([0.9, 0.8, 0.6, 0.3]), torch.tensor([0.1, 0.2, 0.4, 0.7]))
    assert mixed == (pytest.approx(0.6), 0.25)  # 0.3 is under it, 0.7 over it


def test_spread_and_chance() -> None:
    found = spread(torch.arange(101).float())
    assert (found.mean, found.low, found.high) == (50.0, 5.0, 95.0)
    assert chance_above(torch.tensor([2.0, 3.0]), torch.tensor([1.0, 2.0])) == pytest.approx(3.5 / 4)

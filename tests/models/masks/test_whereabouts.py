"""The head that tells the mask model's encoder where each place's toy has its middle."""

from __future__ import annotations

import torch

from models.training.masks.whereabouts import SIDE, WayHead, way_loss


def scene() -> torch.Tensor:
    """Two toys: columns 32 to 64 of rows 32 to 96, and columns 80 to 112 of the same rows."""
    labels = torch.zeros(1, 128, 128, dtype=torch.uint8)
    labels[0, 32:96, 32:64] = 1
    labels[0, 32:96, 80:112] = 2
    return labels


def right_answer() -> torch.Tensor:
    told = torch.zeros(1, 3, SIDE, SIDE)
    told[:, 0] = -20
    at = (torch.arange(SIDE) + 0.5) / SIDE
    for left, middle in ((8, 48 / 128), (20, 96 / 128)):
        told[0, 0, 8:24, left : left + 8] = 20
        told[0, 1, 8:24, left : left + 8] = middle - at[left : left + 8]
        told[0, 2, 8:24, left : left + 8] = 0.5 - at[8:24, None]
    return told


def test_who_knows_the_way_loses_nothing_and_who_takes_two_for_one_loses() -> None:
    assert way_loss(right_answer(), scene()) < 1e-4
    joined = right_answer()
    joined[0, 1, 8:24, 8:16] += 24 / 128  # the way to the middle of both
    joined[0, 1, 8:24, 20:28] -= 24 / 128
    assert way_loss(joined, scene()).item() > 4 * 24 / 128 - 0.01
    unseen = right_answer()
    unseen[:, 0] = -20
    assert way_loss(unseen, scene()) > 1


def test_a_scene_without_toys_has_nothing_to_point_at() -> None:
    told = torch.zeros(1, 3, SIDE, SIDE)
    told[:, 0] = -20
    told[:, 1:] = 7
    assert way_loss(told, torch.zeros(1, 128, 128, dtype=torch.uint8)) < 1e-4


def test_the_head_answers_at_every_place() -> None:
    assert WayHead(24, grid=16, width=8)(torch.randn(2, 24, 16, 16)).shape == (2, 3, SIDE, SIDE)

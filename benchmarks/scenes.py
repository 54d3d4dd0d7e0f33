"""Scenes to measure with: random pictures and masks of one to four concepts. Their content costs no time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class BenchScene:
    """picture: [3, side, side] in [-1, 1]; masks: bool [N, side, side], disjoint; both on the CPU."""

    scene_id: str
    picture: Tensor
    masks: Tensor


def make_scenes(count: int, side: int) -> list[BenchScene]:
    """Scene i has 1 + i mod 4 concepts, each a block of about 12 % of the picture."""
    scenes = []
    for number in range(count):
        generator = torch.Generator().manual_seed(number)
        concepts = 1 + number % 4
        masks = torch.zeros(concepts, side, side, dtype=torch.bool)
        for j in range(concepts):
            masks[j, j * side // 4 : (j + 1) * side // 4, side // 8 : side // 8 + side // 2] = True
        scenes.append(BenchScene(f"bench{number}", torch.rand(3, side, side, generator=generator) * 2 - 1, masks))
    return scenes


def make_prior_pictures(count: int, side: int) -> Tensor:
    """[count, 3, side, side] in [-1, 1]."""
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(99)) * 2 - 1

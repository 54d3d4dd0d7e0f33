"""What composing knows, taught to the middle of the UNet: which toy lies where, and what it is.

The velocity's error says of a wrong outline only that some numbers are off. A head on the UNet's coarse features that
must tell silhouette, colour and pattern of every place makes them features of toys long before the pictures show it,
as alignment with a trained encoder does for photographs (Yu et al. 2024, REPA); here the labels are exact and cost
nothing. The head is thrown away when training ends.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.training.reading.network import FACTS, numbers_of
from models.training.world.roster import Toy

SIDE = 32
"""Places a side at which facts are told, four times as fine as the features that they are told from."""
WEIGHT = 0.1
"""Of the head's loss beside the velocity's."""
_TOYS = 2.0
"""A place of a toy counts 1 + this many times as much as one of the ground."""
_LEVELS = tuple(count + 1 for count in FACTS)  # 0 is no toy


class DenseHead(nn.Module):
    """Features [b, channels, grid, grid] to logits [b, 21 + 10 + 6, 32, 32] of silhouette, colour, pattern: 0 for
    none."""

    def __init__(self, channels: int, width: int = 256, grid: int = 8) -> None:
        super().__init__()
        finer = SIDE // grid
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 1),
            nn.SiLU(),
            nn.Conv2d(width, finer**2 * sum(_LEVELS), 1),
            nn.PixelShuffle(finer),
        )

    def forward(self, features: Tensor) -> Tensor:
        """See the class."""
        return self.layers(features)


def dense_loss(logits: Tensor, parts: Tensor) -> Tensor:
    """Mean over the facts of their cross-entropy, a weighted mean over places; a scalar. logits: as `DenseHead` gives
    them; parts: uint8 [b, 3, 32, 32], as `parts_of` makes them."""
    weight = 1 + _TOYS * (parts[:, 0] > 0)
    losses = [
        (functional.cross_entropy(fact, parts[:, place].long(), reduction="none") * weight).sum()
        for place, fact in enumerate(logits.float().split(_LEVELS, 1))
    ]
    return torch.stack(losses).mean() / weight.sum()


def parts_of(masks: NDArray[np.bool_], toys: tuple[Toy, ...]) -> NDArray[np.uint8]:
    """For each place silhouette, colour and pattern of the toy that covers half of it or more, each plus one, or 0:
    uint8 [3, 32, 32]. masks: bool [k, h, w], disjoint, h and w multiples of 32."""
    parts = np.zeros((3, SIDE, SIDE), np.uint8)
    for mask, toy in zip(masks, toys, strict=True):
        height, width = mask.shape
        covered = mask.reshape(SIDE, height // SIDE, SIDE, width // SIDE).mean((1, 3)) >= 0.5
        parts[:, covered] = np.array(numbers_of(toy), np.uint8)[:, None] + 1
    return parts

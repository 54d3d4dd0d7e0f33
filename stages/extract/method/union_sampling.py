"""Union sampling (paper section 3.2): each step sees a random subset of the scene's concepts, in random
order.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def draw_subset(concepts: int, generator: torch.Generator, union: bool = True) -> tuple[int, ...]:
    """k ~ uniform{1..N}, then k of the N concepts without replacement in random order; without `union`, k =
    1.
    """
    k = int(torch.randint(1, concepts + 1, (), generator=generator)) if union else 1
    return tuple(torch.randperm(concepts, generator=generator)[:k].tolist())


def draw_flip(generator: torch.Generator) -> bool:
    """True with probability 0.5: picture and masks are mirrored together."""
    return bool(torch.rand((), generator=generator) < 0.5)


def union_mask(masks: Tensor, subset: Sequence[int]) -> Tensor:
    """masks: [N, h, w] in [0, 1] -> [h, w], the pixel-wise maximum of the subset's masks."""
    return masks[list(subset)].amax(dim=0)

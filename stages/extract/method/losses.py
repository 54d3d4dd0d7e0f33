"""The three terms of the training loss, each a pure function with one number a scene as its result.

Nothing here mixes scenes: dimension 0 is the scene everywhere, and is never reduced.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def diffusion_loss(prediction: Tensor, target: Tensor, mask: Tensor, kind: str = "paper") -> Tensor:
    """Masked diffusion loss (paper equation 1). prediction, target: [S, C, h, w]; mask: [S, h, w] -> [S].

    `paper`: both sides times the mask, mean of squares over ALL elements, so a small concept weighs little.
    `area_balanced`: the same divided by the mask's mean, so every concept weighs alike. `none`: no mask.
    """
    error = (prediction - target).float()
    if kind == "none":
        return error.square().flatten(1).mean(1)
    masked = (error * mask[:, None]).square().flatten(1).mean(1)
    if kind == "paper":
        return masked
    if kind == "area_balanced":
        one_element = 1.0 / mask[0].numel()
        return masked / mask.flatten(1).mean(1).clamp_min(one_element)
    raise ValueError(f"masked_loss: no loss is called {kind!r}; there are paper, area_balanced and none")


def attention_mse(maps: Tensor, masks: Tensor, sampled: Tensor) -> Tensor:
    """Cross-attention loss (paper equation 2). maps, masks: [S, K, a, a]; sampled: bool [S, K] -> [S].

    Every map is divided by its own maximum and compared with its mask; the mean squared errors of the handles
    in the prompt are SUMMED.
    """
    peak = maps.flatten(2).amax(2).clamp_min(torch.finfo(maps.dtype).tiny)
    error = (maps / peak[:, :, None, None] - masks).square().flatten(2).mean(2)
    return torch.where(sampled, error, torch.zeros_like(error)).sum(1)


ATTENTION_LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {"mse": attention_mse}
"""Cross-attention losses by the name they have in the job spec."""


def prior_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Prior preservation: unmasked mean squared error. [S, C, h, w] twice -> [S]."""
    return (prediction - target).float().square().flatten(1).mean(1)

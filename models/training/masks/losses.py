"""What the mask model is trained by: how far masks are from the right ones, and predicted IoUs from the true ones.

The decoder's masks may be smaller than the picture. They are compared at the picture's size, enlarged as the product
enlarges them, so that an outline is learned to a fraction of the decoder's pixel.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def enlarged(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Mask logits [P, k, h, w] at another size (height, width), bilinear; as they are where they have it."""
    if tuple(logits.shape[-2:]) == size:
        return logits
    return functional.interpolate(logits, size, mode="bilinear", align_corners=False)


def mask_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Ten times the focal loss plus the dice loss of each mask: [P, k]. logits: [P, k, h, w]; masks: [P, h, w], shares
    of a pixel in 0..1."""
    target = masks[:, None].expand_as(logits)
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    chance = logits.sigmoid()
    missed = chance + target - 2 * chance * target
    focal = (missed.square() * entropy).mean((2, 3))
    dice = 1 - (2 * (chance * target).sum((2, 3)) + 1) / (chance.sum((2, 3)) + target.sum((2, 3)) + 1)
    return 10 * focal + dice


def true_iou(logits: Tensor, masks: Tensor) -> Tensor:
    """IoU [P, k] of masks given by logits [P, k, h, w], enlarged, with the right ones, bool [P, H, W]."""
    found = (enlarged(logits, _size(masks)) > 0).flatten(2).float()
    wanted = masks.flatten(1).float()
    shared = (found @ wanted[..., None])[..., 0]  # a count: float32 holds it exactly, and sums faster than bools
    return shared / (found.sum(2) + wanted.sum(1)[:, None] - shared).clamp(min=1)


def loss_of(logits: Tensor, quality: Tensor, masks: Tensor) -> Tensor:
    """Loss of the best of the three masks and of the single mask, plus the error of all predicted IoUs; a scalar.

    logits: [P, 4, h, w], the single mask's first; quality: [P, 4], the predicted IoUs; masks: bool [P, H, W].

    Which is the best of the three is told by the small masks, so that only the two that have a loss need gradients at
    the picture's size. The predicted IoU is what the product ranks and drops masks by, so it learns from bad masks as
    from good ones.
    """
    with torch.no_grad():
        small = functional.adaptive_avg_pool2d(masks[:, None].float(), logits.shape[-2:])[:, 0]
        best = 1 + mask_loss(logits[:, 1:], small).argmin(1)
        iou = true_iou(logits, masks)
    compared = torch.stack([logits[torch.arange(len(best), device=best.device), best], logits[:, 0]], 1)
    of_three, single = mask_loss(enlarged(compared, _size(masks)), masks.float()).mean(0)
    return of_three + 0.5 * single + functional.mse_loss(quality, iou)


def _size(masks: Tensor) -> tuple[int, int]:
    height, width = masks.shape[-2:]
    return height, width

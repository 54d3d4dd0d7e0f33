"""What the mask model is trained by: how far masks are from the right ones, and predicted IoUs from the true ones."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def mask_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Ten times the focal loss plus the dice loss of each mask: [P, k]. logits: [P, k, h, w]; masks: [P, h, w]."""
    target = masks[:, None].expand_as(logits)
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    chance = logits.sigmoid()
    missed = chance + target - 2 * chance * target
    focal = (missed.square() * entropy).mean((2, 3))
    dice = 1 - (2 * (chance * target).sum((2, 3)) + 1) / (chance.sum((2, 3)) + target.sum((2, 3)) + 1)
    return 10 * focal + dice


def true_iou(logits: Tensor, masks: Tensor) -> Tensor:
    """IoU [P, k] of masks given by logits [P, k, h, w] with the right ones, bool [P, h, w]."""
    found, wanted = logits > 0, masks[:, None]
    return (found & wanted).sum((2, 3)) / (found | wanted).sum((2, 3)).clamp(min=1)


def loss_of(logits: Tensor, quality: Tensor, masks: Tensor) -> Tensor:
    """Loss of the best of the three masks and of the single mask, plus the error of all predicted IoUs; a scalar.

    The predicted IoU is what the product ranks and drops masks by, so it learns from bad masks as from good ones.
    """
    losses = mask_loss(logits, masks.float())
    error = functional.mse_loss(quality, true_iou(logits.detach(), masks))
    return losses[:, 1:].min(1).values.mean() + 0.5 * losses[:, 0].mean() + error

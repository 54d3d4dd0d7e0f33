"""The judge's losses: contrast of pictures and captions that knows which pairs fit, and contrast of toys.

CLIP (Radford et al. 2021) takes every other caption of a batch for wrong. In a batch of a small world many are right:
equal captions, or "a photo of a star" for a picture of a star and a fish. Here a pair is right where the caption
claims what the picture's own caption claims, is left out where it also fits in another way, and is wrong otherwise.
The second loss is supervised contrast (Khosla et al. 2020): two views of a toy are near, any two toys are far.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

ANY_PLACE = -2
"""The place of a picture whose ground is seen but is not what its caption is about."""


def contrast(logits: Tensor, right: Tensor, left_out: Tensor) -> Tensor:
    """Cross-entropy of each row against the mean over its right columns; rows without one do not count. A scalar.

    logits: [a, b]; right, left_out: bool [a, b]."""
    chances = logits.masked_fill(left_out & ~right, -torch.inf).log_softmax(1)
    count = right.sum(1)
    losses = -chances.masked_fill(~right, 0).sum(1) / count.clamp(min=1)
    return losses.sum() / (count > 0).sum().clamp(min=1)


def matching_loss(pictures: Tensor, captions: Tensor, scale: Tensor, own: Tensor, fits: Tensor, keys: Tensor) -> Tensor:
    """Contrast both ways. pictures [a, d] and captions [b, d]: unit vectors; own: int64 [a], each picture's caption, -1
    for a picture of nothing; fits: bool [a, b]; keys: int64 [b], equal where captions claim the same."""
    right = fits & (keys[own.clamp(min=0)][:, None] == keys[None]) & (own >= 0)[:, None]
    logits = scale * pictures @ captions.T
    return (contrast(logits, right, fits) + contrast(logits.T, right.T, fits.T)) / 2


def identity_loss(pictures: Tensor, toys: Tensor, temperature: float = 0.1) -> Tensor:
    """Supervised contrast of views [a, d], unit vectors; toys: int64 [a], -1 for a picture of nothing, which is far
    from everything."""
    same = (toys[:, None] == toys[None]) & (toys >= 0)[:, None]
    itself = torch.eye(len(toys), dtype=torch.bool, device=toys.device)
    return contrast(pictures @ pictures.T / temperature, same & ~itself, itself)


def normalised(features: Tensor) -> Tensor:
    """Unit vectors, float32."""
    return functional.normalize(features.float(), dim=-1)

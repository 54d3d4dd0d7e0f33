"""The judge's losses: contrast of pictures and captions that knows which pairs fit, and contrast of sprites.

CLIP (Radford et al. 2021) takes every other caption of a batch for wrong. In a batch of a small world many are right:
equal captions, or "a photo of a crab" for a picture of a crab and a tomato. Here a pair is right where the caption
claims what the picture's own caption claims, is left out where it also fits in another way, and is wrong otherwise.
The second loss is supervised contrast (Khosla et al. 2020): two views of a sprite are near, any two sprites are far.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

ANY_PLACE = -2
"""The place of a picture whose ground is seen but is not what its caption is about."""


@dataclass(frozen=True)
class Facts:
    """What pictures show: nouns int [b, 4], -1 for none; places int [b], -1 for none, `ANY_PLACE` for any."""

    nouns: Tensor
    places: Tensor


def several_hot(numbers: Tensor, count: int) -> Tensor:
    """float [b, count], 1 at each of the row's numbers; -1 is none. numbers: int [b, k]."""
    table = torch.zeros(len(numbers), count + 1, device=numbers.device)
    return table.scatter_(1, numbers.long() % (count + 1), 1.0)[:, :count]


def fitting(facts: Facts, claims: Tensor, nouns: int) -> Tensor:
    """bool [pictures, captions]: nothing that the caption claims is missing from the picture. claims: int
    [captions, 6], see `clip_pool.ClipPool.claims`; nouns: how many there are."""
    shown, claimed = several_hot(facts.nouns, nouns), several_hot(claims[:, :4], nouns)
    missing = claimed.sum(1)[None] - shown @ claimed.T > 0.5
    place = claims[:, 5][None]
    there = (place == -1) | (place == facts.places[:, None]) | (facts.places[:, None] == ANY_PLACE)
    return ~missing & there


def claim_keys(claims: Tensor) -> Tensor:
    """int64 [captions], equal where captions claim the same in any order."""
    ordered = claims[:, :4].sort(1).values
    key = torch.zeros(len(claims), dtype=torch.int64, device=claims.device)
    for column in (*ordered.unbind(1), claims[:, 4], claims[:, 5]):
        key = key * 4099 + column.long() + 1  # wraps around, which is harmless: equal rows stay equal
    return key


def contrast(logits: Tensor, right: Tensor, left_out: Tensor) -> Tensor:
    """Cross-entropy of each row against the mean over its right columns; rows without one do not count. A scalar.

    logits: [a, b]; right, left_out: bool [a, b]."""
    chances = logits.masked_fill(left_out & ~right, -torch.inf).log_softmax(1)
    count = right.sum(1)
    losses = -chances.masked_fill(~right, 0).sum(1) / count.clamp(min=1)
    return losses.sum() / (count > 0).sum().clamp(min=1)


def picture_caption_loss(
    pictures: Tensor, captions: Tensor, scale: Tensor, own: Tensor, facts: Facts, claims: Tensor, nouns: int
) -> Tensor:
    """`matching_loss` of pictures that show `facts` and captions that claim `claims` of so many `nouns`."""
    return matching_loss(pictures, captions, scale, own, fitting(facts, claims, nouns), claim_keys(claims))


def matching_loss(pictures: Tensor, captions: Tensor, scale: Tensor, own: Tensor, fits: Tensor, keys: Tensor) -> Tensor:
    """Contrast both ways. pictures [a, d] and captions [b, d]: unit vectors; own: int64 [a], each picture's caption, -1
    for a picture of nothing; fits: bool [a, b]; keys: int64 [b], equal where captions claim the same."""
    right = fits & (keys[own.clamp(min=0)][:, None] == keys[None]) & (own >= 0)[:, None]
    logits = scale * pictures @ captions.T
    return (contrast(logits, right, fits) + contrast(logits.T, right.T, fits.T)) / 2


def sprite_loss(pictures: Tensor, sprites: Tensor, temperature: float = 0.1) -> Tensor:
    """Supervised contrast of views [a, d], unit vectors; sprites: int64 [a], -1 for a picture of nothing, which is far
    from everything."""
    same = (sprites[:, None] == sprites[None]) & (sprites >= 0)[:, None]
    itself = torch.eye(len(sprites), dtype=torch.bool, device=sprites.device)
    return contrast(pictures @ pictures.T / temperature, same & ~itself, itself)


def normalised(features: Tensor) -> Tensor:
    """Unit vectors, float32."""
    return functional.normalize(features.float(), dim=-1)

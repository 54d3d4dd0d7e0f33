"""How far apart right and wrong score: spreads, the area under the ROC curve, retrieval, thresholds."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def share(right: Tensor) -> float:
    """Share of true entries."""
    return right.float().mean().item()


@dataclass(frozen=True)
class Spread:
    """Of some scores: their mean, and between which values nine in ten of them lie."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:6.3f}   5-95 %: {self.low:6.3f} .. {self.high:6.3f}"


def spread(scores: Tensor) -> Spread:
    """Mean, 5th and 95th percentile (linear between neighbours) of scores [n]."""
    low, high = torch.quantile(scores.double(), torch.tensor([0.05, 0.95], dtype=torch.float64)).tolist()
    return Spread(scores.double().mean().item(), low, high)


def chance_above(higher: Tensor, lower: Tensor) -> float:
    """How often a score of `higher` [n] is above one of `lower` [m], ties half: the area under the ROC curve."""
    ahead = (higher[:, None] > lower[None]).double() + 0.5 * (higher[:, None] == lower[None]).double()
    return ahead.mean().item()


def equal_error(higher: Tensor, lower: Tensor) -> tuple[float, float]:
    """The threshold that as large a share of `higher` [n] is under as of `lower` [m] is at or above, and that share.

    Of all scores the one where the two shares are nearest to each other, the lowest of several.
    """
    at = torch.cat([higher, lower]).unique()
    missed = torch.searchsorted(higher.sort().values, at).double() / len(higher)
    mistaken = 1 - torch.searchsorted(lower.sort().values, at).double() / len(lower)
    best = (missed - mistaken).abs().argmin()
    return at[best].item(), (missed[best] + mistaken[best]).item() / 2


def retrieval(pictures: Tensor, captions: Tensor) -> tuple[float, float]:
    """How often a picture's own caption is its nearest, and a caption's own picture its nearest. Unit vectors [n, d],
    row i of both belonging together."""
    scores, own = pictures @ captions.T, torch.arange(len(pictures))
    return share(scores.argmax(1) == own), share(scores.argmax(0) == own)


def print_scores(what: str, scores: dict[str, Tensor]) -> None:
    """One line each, and how often the first kind scores above it."""
    right, *_ = scores.values()
    for name, values in scores.items():
        above = "" if values is right else f"   first above it: {chance_above(right, values):.4f}"
        print(f"  {what}, {name:26s} {spread(values)}{above}", flush=True)


def print_errors(same: Tensor, others: Tensor, found_at: float) -> None:
    """What a threshold on identity gets wrong: the one at which the product counts a concept as found, and the best."""
    missed, mistaken, (best, wrong) = share(same < found_at), share(others >= found_at), equal_error(same, others)
    print(f"  identity, at {found_at:g} {missed:.4f} of the same thing are missed and "
          f"{mistaken:.4f} of others taken for it; at {best:.3f} it is {wrong:.4f} of both", flush=True)  # fmt: skip

"""What the judge reads: each fact of a toy apart, by captions of one fact; and how like toys are by what differs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from models.training.judge.captions import fact_captions
from models.training.judge.scores import share

NAMES = ("silhouette", "colour", "pattern")
"""Of the kinds of facts."""
TextFeatures = Callable[[list[str]], Tensor]
"""Unit vectors float [n, d] of n texts."""


class FactReader:
    """Reads a picture's silhouette, colour, pattern and place, each as the likeliest of its kind's captions."""

    def __init__(self, text_features: TextFeatures) -> None:
        self._banks = [text_features(bank) for bank in fact_captions()]

    def read(self, features: Tensor) -> Tensor:
        """int64 [n, 4] of picture features [n, d]: the numbers of silhouette, colour and pattern in `claims.KINDS`, and
        the place's. Of a picture of several toys, the facts of any of them."""
        return torch.stack([(features @ bank.T).argmax(1) for bank in self._banks], 1)


def facts_right(read: Tensor, facts: Tensor) -> str:
    """One line: how often each of the three facts, and all of them, are as they are. read: int64 [n, 3 or more];
    facts: int64 [n, 3]."""
    right = read[:, :3] == facts
    parts = [f"{name} {share(right[:, kind]):.3f}" for kind, name in enumerate(NAMES)]
    return " ".join([*parts, f"all three {share(right.all(1)):.3f}"])


def pairs_by_difference(features: Tensor, facts: Tensor) -> dict[str, Tensor]:
    """Cosines of all pairs of pictures of single toys, by what differs: "same toy", "other silhouette", "other colour"
    and "other pattern" where that is all, "two facts or more". features: [n, d], unit vectors; facts: int64 [n, 3]."""
    first, second = torch.triu_indices(len(features), len(features), 1)
    scores = (features @ features.T)[first, second]
    differs = facts[first] != facts[second]
    count = differs.sum(1)
    alone = {f"other {name}": scores[(count == 1) & differs[:, kind]] for kind, name in enumerate(NAMES)}
    return {"same toy": scores[count == 0]} | alone | {"two facts or more": scores[count > 1]}

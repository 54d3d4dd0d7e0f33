"""The pictures at both ends of a score: where a person looks to learn what the score means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.shards.reader import Row

MEASURES = {"identity_similarity": "identity", "prompt_similarity": "prompt"}
"""Column of SCORES -> its name on the page."""


@dataclass(frozen=True)
class Tenth:
    """The pictures whose score lies within low and high, both included. name: `identity: lowest tenth (to 0.62)`;
    measure: column of SCORES; count: how many they are."""

    name: str
    measure: str
    low: float
    high: float
    count: int

    def has(self, score: Row | None) -> bool:
        """score: a row of SCORES or nothing."""
        return self.low <= score[self.measure] <= self.high if score else False


def tenths_of(scores: Sequence[Row]) -> list[Tenth]:
    """The lowest and the highest tenth by each measure of these rows of SCORES, one picture at least.

    Pictures with equal scores stay together, so a tenth may be more than one; where that leaves no difference between
    the two ends, the measure has none.
    """
    found = []
    for measure, name in MEASURES.items():
        values = sorted(row[measure] for row in scores if math.isfinite(row[measure]))
        if not values:
            continue
        share = math.ceil(len(values) / 10)
        low, high = values[share - 1], values[-share]
        if low >= high:
            continue
        below, above = sum(value <= low for value in values), sum(value >= high for value in values)
        found += [
            Tenth(f"{name}: lowest tenth (to {low:.2f})", measure, -math.inf, low, below),
            Tenth(f"{name}: highest tenth (from {high:.2f})", measure, high, math.inf, above),
        ]
    return found

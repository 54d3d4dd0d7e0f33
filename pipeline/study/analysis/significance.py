"""The paper's tests of its study: Kruskal and Wallis (1952) over all methods, then Tukey's honestly significant
differences (1949) of every two.

Both take every answer for one of its own. Answers of one person and about one scene are alike, so these p values are
smaller than they should be; the preferences' intervals are not.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats

from pipeline.study.analysis.answers import Answer

LEAST = 2
"""Ratings of a method without which it takes no part."""


@dataclass(frozen=True)
class Tukey:
    """mean: of `method` less that of `other`, in points of a rating, with its simultaneous 95 % interval; p: adjusted
    for all pairs."""

    method: str
    other: str
    mean: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Tests:
    """h, p: Kruskal and Wallis's; tukey: of every two methods."""

    h: float
    p: float
    tukey: list[Tukey]


def paper_tests(answers: Sequence[Answer], methods: Sequence[str]) -> Tests | None:
    """answers: of one aspect. None where fewer than two methods have ratings, or all ratings are the same."""
    groups = {name: [float(a.rating) for a in answers if a.who == name] for name in methods}
    groups = {name: ratings for name, ratings in groups.items() if len(ratings) >= LEAST}
    spread = any(len(set(ratings)) > 1 for ratings in groups.values())
    if len(groups) < 2 or not spread:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of ties, which ratings are full of
        h, p = stats.kruskal(*groups.values())
        found = stats.tukey_hsd(*groups.values())
        ends = found.confidence_interval()
    names = list(groups)
    return Tests(
        float(h),
        float(p),
        [
            Tukey(
                names[a], names[b], float(np.mean(groups[names[a]]) - np.mean(groups[names[b]])),
                float(ends.low[a, b]), float(ends.high[a, b]), float(found.pvalue[a, b]),
            )
            for a, b in combinations(range(len(names)), 2)
        ],
    )  # fmt: skip

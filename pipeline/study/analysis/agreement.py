"""Krippendorff's alpha for ordered ratings: 1 where raters agree in all, 0 where they agree as dice do.

Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011). Units are pictures of one question; one that a
single person has rated says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.protocol.statistics.bootstrap import LEVEL, Floats, Interval, resample_counts
from pipeline.study.analysis.answers import RATINGS, Answer
from pipeline.study.analysis.crossed import RESAMPLES

RELIABLE, TENTATIVE = 0.8, 0.667
"""Krippendorff's own bounds: from the first on ratings can be relied on, from the second on with care."""


def agreement(answers: Sequence[Answer], resamples: int = RESAMPLES, seed: int = 0) -> Interval | None:
    """Alpha of these answers, which are of one aspect, and its interval over scenes; None where no picture was rated
    twice, or all ratings are the same."""
    units: dict[tuple[str, str, str], list[int]] = {}
    for answer in answers:
        units.setdefault((answer.scene, answer.question, answer.who), []).append(answer.rating)
    scenes = coincidences(units)
    if not scenes:
        return None
    grid = np.stack([scenes[scene] for scene in sorted(scenes)])
    whole = float(alpha(grid.sum(0)))
    if not np.isfinite(whole):
        return None
    if len(grid) < 2:
        return Interval(whole, None, None, len(grid))
    counts = resample_counts(len(grid), resamples, seed).astype(np.float64)
    drawn = alpha(np.tensordot(counts, grid, axes=1))
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.nanpercentile(drawn, [tail, 100 - tail])
    return Interval(whole, float(low), float(high), len(grid))


def coincidences(units: Mapping[tuple[str, str, str], Sequence[int]]) -> dict[str, Floats]:
    """Scene -> how often two raters of one unit gave this and that rating, [5, 5]. units: their first name is their
    scene; those with one rating are left out."""
    size = len(RATINGS)
    found: dict[str, Floats] = {}
    for (scene, _, _), ratings in units.items():
        if len(ratings) < 2:
            continue
        counts = np.bincount(np.asarray(ratings) - RATINGS.start, minlength=size).astype(np.float64)
        pairs = np.outer(counts, counts) - np.diag(counts)
        found[scene] = found.get(scene, np.zeros((size, size))) + pairs / (len(ratings) - 1)
    return found


def alpha(coincidence: Floats) -> NDArray[np.float64]:
    """Of matrices [..., 5, 5]; NaN where all ratings are the same."""
    totals = coincidence.sum(-1)
    count = totals.sum(-1)
    distance = _ordinal(totals)
    observed = (coincidence * distance).sum((-2, -1))
    expected = (totals[..., :, None] * totals[..., None, :] * distance).sum((-2, -1))
    ratio = np.divide((count - 1) * observed, expected, out=np.full(np.shape(expected), np.nan), where=expected > 0)
    return np.asarray(1 - ratio)


def _ordinal(totals: Floats) -> Floats:
    """Squared distance of two ratings: how many ratings lie between them, half of their own among these."""
    up_to = np.cumsum(totals, -1) - totals / 2
    apart: Floats = (up_to[..., :, None] - up_to[..., None, :]) ** 2
    return apart


def words(value: float) -> str:
    """What an alpha means."""
    if value >= RELIABLE:
        return "they agree"
    return "they agree in part" if value >= TENTATIVE else "they hardly agree"

"""Percentile bootstrap over scenes (Efron 1979): pictures of one scene are alike, so whole scenes are drawn again.

A scene counts once whatever the number of its pictures. All methods and all differences are seen on the same resamples;
a difference is taken within each scene, so what makes a scene hard for every method cancels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A mean over scenes with its 95 % interval. scenes: how many have a value; below two there is no interval."""

    mean: float
    low: float | None
    high: float | None
    scenes: int


def resample_counts(scenes: int, resamples: int, seed: int) -> NDArray[np.int64]:
    """[resamples, scenes]: how often each resample holds each scene. Rows add up to `scenes`."""
    if scenes == 0:
        return np.zeros((resamples, 0), np.int64)
    dice = np.random.default_rng(seed)
    return dice.multinomial(scenes, np.full(scenes, 1.0 / scenes), size=resamples).astype(np.int64)


def resampled_means(values: Floats, counts: NDArray[np.int64]) -> Floats:
    """Mean of every resample over the scenes that have a value (others are NaN); NaN for a resample that has none.

    values: [scenes]; counts: [resamples, scenes]. Returns [resamples].
    """
    known = np.isfinite(values)
    total = counts @ np.where(known, values, 0.0)
    weight = counts @ known.astype(np.float64)
    means: Floats = np.divide(total, weight, out=np.full(len(counts), np.nan), where=weight > 0)
    return means


def interval(values: Floats, counts: NDArray[np.int64]) -> Interval | None:
    """Mean and interval of values per scene, NaN where a scene has none; None when no scene has one."""
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    mean = float(known.mean())
    if len(known) < 2:
        return Interval(mean, None, None, len(known))
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.nanpercentile(resampled_means(values, counts), [tail, 100 - tail])
    return Interval(mean, float(low), float(high), len(known))

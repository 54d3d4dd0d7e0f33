"""Intervals over raters and scenes at once: both are drawn again, and an answer counts as often as its rater and its
scene do (the pigeonhole bootstrap, Owen 2007).

Answers of one person are alike, and so are answers about one scene; who drew single answers again would take a
hundred answers of three people for a hundred people. Where there is one rater only, scenes alone are drawn again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.protocol.statistics.bootstrap import LEVEL, Floats, Interval, resample_counts

RESAMPLES = 10_000
Value = tuple[str, str, float]
"""Rater, scene, and what was found of one answer or one pair of answers."""


class Crossed:
    """Resamples of these raters and scenes; every interval of a study is seen on the same."""

    def __init__(self, raters: Sequence[str], scenes: Sequence[str], resamples: int = RESAMPLES, seed: int = 0) -> None:
        self.raters = {name: number for number, name in enumerate(sorted(set(raters)))}
        self.scenes = {name: number for number, name in enumerate(sorted(set(scenes)))}
        self.of_raters = resample_counts(len(self.raters), resamples, seed).astype(np.float64)
        self.of_scenes = resample_counts(len(self.scenes), resamples, seed + 1).astype(np.float64)

    def interval(self, values: Sequence[Value], level: float = LEVEL) -> Interval | None:
        """Mean of the values and its interval; None without values; no ends where all are of one rater and scene."""
        if not values:
            return None
        sums, counts = self._grids(values)
        mean = float(sums.sum() / counts.sum())
        scenes = int((counts.sum(0) > 0).sum())
        if scenes < 2 and int((counts.sum(1) > 0).sum()) < 2:
            return Interval(mean, None, None, scenes)
        total, weight = self._weighed(sums), self._weighed(counts)
        means = np.divide(total, weight, out=np.full(len(total), np.nan), where=weight > 0)
        tail = 100 * (1 - level) / 2
        low, high = np.nanpercentile(means, [tail, 100 - tail])
        return Interval(mean, float(low), float(high), scenes)

    def _grids(self, values: Sequence[Value]) -> tuple[Floats, Floats]:
        """Sum and number of the values of every rater and scene, [raters, scenes]."""
        sums = np.zeros((len(self.raters), len(self.scenes)))
        counts = np.zeros_like(sums)
        at = ([self.raters[rater] for rater, _, _ in values], [self.scenes[scene] for _, scene, _ in values])
        np.add.at(sums, at, [value for _, _, value in values])
        np.add.at(counts, at, 1.0)
        return sums, counts

    def _weighed(self, grid: Floats) -> NDArray[np.float64]:
        weighed: Floats = ((self.of_raters @ grid) * self.of_scenes).sum(1)
        return weighed

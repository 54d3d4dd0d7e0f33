"""The comparison in numbers: a level for every method and measure, and every difference from break_a_scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline.protocol.statistics.bootstrap import Floats, Interval, interval, resample_counts, resampled_means
from pipeline.protocol.statistics.claims import CLAIMS, REFERENCE, Claim, Verdict, front, front_shares, verdict
from pipeline.protocol.statistics.measures import MEASURES, Row, SceneMean, scene_means
from schemas.methods import METHODS

AXES = ("prompt", "identity")
"""The two measures of the plot, and of the front."""


@dataclass(frozen=True)
class MethodScores:
    """What one method's job has left. failures: scenes of it that failed; finished: whether all its shards are
    settled."""

    rows: Sequence[Row]
    failures: int = 0
    finished: bool = True


@dataclass(frozen=True)
class Level:
    """A measure of one method. pictures: how many it was taken from."""

    interval: Interval
    pictures: int


@dataclass(frozen=True)
class Judged:
    """A claim of the paper's beside the difference that was found."""

    claim: Claim
    difference: Interval | None
    verdict: Verdict


@dataclass(frozen=True)
class Summary:
    """methods: in the spec's order, those with scores. scenes: all that any method has scores of.

    levels, differences: method -> measure -> value; measures that nothing can be said of are left out.
    front: methods (no ablations) that no other method dominates; on_front: share of resamples in which each is.
    """

    methods: list[str]
    scenes: list[str]
    levels: dict[str, dict[str, Level]]
    differences: dict[str, dict[str, Interval]]
    front: set[str]
    on_front: dict[str, float]
    judged: list[Judged]
    failures: dict[str, int] = field(default_factory=dict)
    unfinished: list[str] = field(default_factory=list)


def summarise(scores: Mapping[str, MethodScores], resamples: int, seed: int) -> Summary:
    """All numbers of the comparison; the same scores and seed give the same numbers."""
    methods = [name for name, found in scores.items() if found.rows]
    scenes = sorted({row["scene_id"] for name in methods for row in scores[name].rows})
    counts = resample_counts(len(scenes), resamples, seed)
    means = {name: {m.name: scene_means(scores[name].rows, m) for m in MEASURES} for name in methods}
    values = {name: {m: _aligned(found, scenes) for m, found in means[name].items()} for name in methods}
    levels: dict[str, dict[str, Level]] = {}
    differences: dict[str, dict[str, Interval]] = {}
    for name in methods:
        levels[name], differences[name] = {}, {}
        for measure, found in means[name].items():
            level = interval(values[name][measure], counts)
            if level is not None:
                levels[name][measure] = Level(level, sum(mean.pictures for mean in found.values()))
            if name != REFERENCE and REFERENCE in values:
                difference = interval(values[name][measure] - values[REFERENCE][measure], counts)
                if difference is not None:
                    differences[name][measure] = difference
    compared = [name for name in methods if name in METHODS and all(axis in levels[name] for axis in AXES)]
    points = {name: _point(levels[name]) for name in compared}
    resampled = {
        name: (resampled_means(values[name]["prompt"], counts), resampled_means(values[name]["identity"], counts))
        for name in compared
    }
    return Summary(
        methods,
        scenes,
        levels,
        differences,
        front(points),
        front_shares(resampled),
        [_judged(claim, differences) for claim in CLAIMS if claim.method in differences],
        {name: scores[name].failures for name in methods},
        [name for name, found in scores.items() if not found.finished or not found.rows],
    )


def _aligned(found: Mapping[str, SceneMean], scenes: Sequence[str]) -> Floats:
    """One value a scene in the common order, NaN where there is none."""
    return np.array([found[scene].value if scene in found else np.nan for scene in scenes], np.float64)


def _point(levels: Mapping[str, Level]) -> tuple[float, float]:
    return levels[AXES[0]].interval.mean, levels[AXES[1]].interval.mean


def _judged(claim: Claim, differences: Mapping[str, Mapping[str, Interval]]) -> Judged:
    difference = differences[claim.method].get(claim.measure)
    return Judged(claim, difference, verdict(claim, difference))

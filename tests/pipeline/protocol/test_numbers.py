"""The protocol's numbers: what a picture counts for, intervals over scenes, paired differences, verdicts, the front."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline.protocol.statistics.bootstrap import Interval, interval, resample_counts, resampled_means
from pipeline.protocol.statistics.claims import CLAIMS, Claim, front, front_shares, verdict
from pipeline.protocol.statistics.measures import MEASURES, scene_means
from pipeline.protocol.statistics.summary import MethodScores, summarise
from schemas.methods import ABLATIONS, METHODS

BY_NAME = {measure.name: measure for measure in MEASURES}


def scored(
    scene: str, concepts: list[int], found: list[int], prompt: float = 0.2, identity: float = 0.5
) -> dict[str, Any]:
    """A row of `scores`, `complete` as the evaluate stage has it."""
    return {
        "scene_id": scene, "concepts": concepts, "found": found, "prompt_similarity": prompt,
        "identity_similarity": identity, "complete": all(found[index] == 1 for index in concepts),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("row", "complete", "missing", "double", "intruder"),
    [
        (scored("a", [0, 1], [1, 1]), 1.0, 0.0, 0.0, None),
        (scored("a", [0, 1], [1, 0]), 0.0, 1.0, 0.0, None),
        (scored("a", [1, 0], [2, 1]), 0.0, 0.0, 1.0, None),
        (scored("a", [0, 2], [1, 1, 1]), 1.0, 0.0, 0.0, 1.0),
        (scored("a", [0, 2], [2, 0, 0]), 0.0, 1.0, 1.0, 0.0),
        (scored("a", [1], [0, 1]), None, None, None, 0.0),
        (scored("a", [1], [3, 0]), None, None, None, 1.0),
    ],
)
def test_what_a_picture_counts_for(
    row: dict[str, Any], complete: Any, missing: Any, double: Any, intruder: Any
) -> None:
    found = {name: BY_NAME[name].of(row) for name in ("complete", "missing", "double", "intruder")}
    assert found == {"complete": complete, "missing": missing, "double": double, "intruder": intruder}


def test_a_scene_is_one_number_whatever_its_pictures() -> None:
    rows = [scored("a", [0], [1], prompt=p / 50) for p in range(1, 10)] + [scored("b", [0], [1], prompt=0.3)]
    found = scene_means(rows, BY_NAME["prompt"])
    assert {scene: (round(mean.value, 6), mean.pictures) for scene, mean in found.items()} == {
        "a": (0.1, 9),
        "b": (0.3, 1),
    }
    level = summarise({"ti_m": MethodScores(rows)}, 500, 0).levels["ti_m"]["prompt"]
    assert level.interval.mean == pytest.approx(0.2)
    assert level.pictures == 10
    assert "complete" not in summarise({"ti_m": MethodScores(rows)}, 500, 0).levels["ti_m"]


def test_the_interval_is_the_closed_form_where_there_is_one() -> None:
    """The bootstrap's mean of n values has standard error sd / sqrt(n), sd over n; for many it is normal."""
    values = np.random.default_rng(1).normal(3, 2, 400)
    at = interval(values, resample_counts(400, 20_000, 0))
    assert at is not None
    half = 1.959964 * values.std() / np.sqrt(400)
    assert at.mean == pytest.approx(values.mean())
    assert (at.low, at.high) == (
        pytest.approx(at.mean - half, abs=0.03 * half),
        pytest.approx(at.mean + half, abs=0.03 * half),
    )


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """24 scenes: a percentile interval is known to be a little narrow (93 %)."""
    dice, counts = np.random.default_rng(2), resample_counts(24, 1000, 0)
    hits = 0
    for _ in range(600):
        at = interval(dice.normal(0, 1, 24), counts)
        assert at is not None
        hits += at.low <= 0 <= at.high
    assert 0.90 <= hits / 600 <= 0.97


def test_scenes_without_a_value_are_left_out_of_every_resample() -> None:
    values = np.array([1.0, np.nan, 1.0, np.nan])
    counts = np.array([[1, 3, 0, 0], [0, 4, 0, 0], [1, 1, 1, 1]])
    assert resampled_means(values, counts) == pytest.approx([1.0, np.nan, 1.0], nan_ok=True)
    assert interval(values, resample_counts(4, 300, 0)) == Interval(1.0, 1.0, 1.0, 2)
    assert interval(np.array([np.nan]), resample_counts(1, 300, 0)) is None
    assert interval(np.array([np.nan, 5.0]), resample_counts(2, 300, 0)) == Interval(5.0, None, None, 1)


def test_a_difference_is_taken_within_each_scene() -> None:
    """Scenes differ far more than the methods do: the levels overlap, the paired difference is certain."""
    hardness = np.random.default_rng(3).uniform(0.1, 0.9, 12)
    scores = {
        name: MethodScores([scored(f"s{i}", [0], [1], identity=float(h) + shift) for i, h in enumerate(hardness)])
        for name, shift in (("break_a_scene", 0.0), ("no_attention_loss", -0.03))
    }
    found = summarise(scores, 2000, 0)
    ours, theirs = (found.levels[name]["identity"].interval for name in scores)
    assert ours.low < theirs.mean < ours.high
    difference = found.differences["no_attention_loss"]["identity"]
    assert (difference.low, difference.high) == (pytest.approx(-0.03), pytest.approx(-0.03))
    assert [(one.claim.method, one.verdict) for one in found.judged] == [("no_attention_loss", "agrees")]
    assert "break_a_scene" not in {name for name, found in found.differences.items() if found}


def test_a_difference_is_over_the_scenes_that_both_have() -> None:
    scores = {
        "break_a_scene": MethodScores([scored(s, [0], [1], prompt=p) for s, p in (("a", 0.1), ("b", 0.2), ("c", 0.9))]),
        "ti_m": MethodScores([scored(s, [0], [1], prompt=p) for s, p in (("a", 0.2), ("b", 0.3))], failures=1),
    }
    found = summarise(scores, 500, 0)
    assert found.differences["ti_m"]["prompt"].mean == pytest.approx(0.1)
    assert found.differences["ti_m"]["prompt"].scenes == 2
    assert found.levels["break_a_scene"]["prompt"].interval.scenes == 3
    assert found.failures == {"break_a_scene": 0, "ti_m": 1}


def test_the_same_scores_give_the_same_summary_and_another_seed_another() -> None:
    dice = np.random.default_rng(4)
    rows = [scored(f"s{i}", [0], [1], prompt=float(p)) for i, p in enumerate(dice.uniform(0, 1, 9))]
    first = summarise({"db_m": MethodScores(rows)}, 300, 5)
    assert first == summarise({"db_m": MethodScores(rows[::-1])}, 300, 5)
    assert first != summarise({"db_m": MethodScores(rows)}, 300, 6)


FALLS, RISES = Claim("no_phase1", "prompt", "falls", ""), Claim("db_m", "identity", "rises", "")


@pytest.mark.parametrize(
    ("claim", "difference", "expected"),
    [
        (FALLS, Interval(-0.2, -0.3, -0.1, 9), "agrees"),
        (FALLS, Interval(0.2, 0.1, 0.3, 9), "opposite"),
        (RISES, Interval(0.2, 0.1, 0.3, 9), "agrees"),
        (RISES, Interval(-0.2, -0.3, -0.1, 9), "opposite"),
        (RISES, Interval(0.2, -0.01, 0.41, 9), "within noise"),
        (FALLS, Interval(0.0, 0.0, 0.0, 9), "within noise"),
        (FALLS, Interval(-0.2, None, None, 1), "within noise"),
        (FALLS, None, "within noise"),
    ],
)
def test_the_verdict_is_the_interval_s(claim: Claim, difference: Interval | None, expected: str) -> None:
    assert verdict(claim, difference) == expected


def test_every_method_and_ablation_has_a_claim_about_a_measure_that_exists() -> None:
    assert {claim.method for claim in CLAIMS} == {*METHODS, *ABLATIONS} - {"break_a_scene"}
    assert {claim.measure for claim in CLAIMS} <= set(BY_NAME)


def test_the_front() -> None:
    points = {"left": (0.1, 0.9), "right": (0.9, 0.1), "middle": (0.5, 0.5), "below": (0.5, 0.4), "twin": (0.5, 0.5)}
    assert front(points) == {"left", "right", "middle", "twin"}
    assert front({"a": (0.1, 0.1), "b": (0.1, 0.2)}) == {"b"}
    assert front({}) == set()


def test_how_often_each_is_on_the_front() -> None:
    always, half = np.array([0.5, 0.5, np.nan]), np.array([0.6, 0.4, 0.9])
    one = np.array([0.5, 0.5, 0.5])
    assert front_shares({"a": (always, one), "b": (half, one)}) == {"a": 0.5, "b": 0.5}
    assert front_shares({"a": (one, one), "b": (one - 0.1, one)}) == {"a": 1.0, "b": 0.0}


def test_ablations_do_not_compete_for_the_front() -> None:
    rows = {name: [scored(s, [0], [1], prompt=p, identity=p) for s in "ab"] for name, p in
            (("break_a_scene", 0.3), ("ti_m", 0.2), ("no_phase1", 0.9))}  # fmt: skip
    found = summarise({name: MethodScores(found) for name, found in rows.items()}, 300, 0)
    assert found.front == {"break_a_scene"}
    assert found.on_front == {"break_a_scene": 1.0, "ti_m": 0.0}

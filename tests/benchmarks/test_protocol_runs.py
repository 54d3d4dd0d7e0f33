"""Several runs of the protocol as one: every run counts alike, scene by scene, and a run that is not whole is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import protocol_runs
from benchmarks.protocol_runs import differences, judge, lines
from pipeline.protocol.statistics.claims import CLAIMS
from pipeline.protocol.statistics.summary import MethodScores
from schemas.methods import ABLATIONS, METHODS
from schemas.spec_file import load_spec
from tests.support import ROOT

FIRST = CLAIMS[0]
"""Of TI-m's prompt similarity."""


def row(scene: str, prompt: float) -> dict[str, Any]:
    return {
        "scene_id": scene, "concepts": [0, 1], "found": [1, 1], "prompt_similarity": prompt, "identity_similarity": 0.5,
        "complete": True,
    }  # fmt: skip


def run_of(prompts: dict[str, float], copies: int = 1) -> dict[str, MethodScores]:
    """Every scene's prompt similarity is 0.2 in all methods but TI-m, which has `prompts`, each `copies` times."""
    run = {name: MethodScores([row(scene, 0.2) for scene in prompts]) for name in (*METHODS, *ABLATIONS)}
    return run | {FIRST.method: MethodScores([row(s, p) for s, p in prompts.items() for _ in range(copies)])}


def test_each_run_counts_alike_in_every_scene_that_all_have() -> None:
    one, other = run_of({"a": 0.3, "b": 0.5, "c": 0.9}), run_of({"a": 0.5, "b": 0.1}, copies=5)
    assert differences(one, FIRST) == {"a": pytest.approx(0.1), "b": pytest.approx(0.3), "c": pytest.approx(0.7)}
    joint, alone = next(judge([one, other], 2000, 0))
    assert joint.claim is FIRST
    assert joint.difference is not None
    assert joint.difference.scenes == 2
    assert joint.difference.mean == pytest.approx(((0.1 + 0.3) / 2 + (0.3 - 0.1) / 2) / 2)
    assert [at.mean for at in alone if at] == [pytest.approx(0.2), pytest.approx(0.1)], "over the scenes that both have"


def test_what_one_run_shows_and_another_does_not_is_noise() -> None:
    shown = run_of({scene: 0.30 + 0.01 * n for n, scene in enumerate("abcdefgh")})
    denied = run_of({scene: 0.03 + 0.01 * n for n, scene in enumerate("abcdefgh")})
    assert [next(judge([run], 2000, 0))[0].verdict for run in (shown, denied)] == ["agrees", "opposite"]
    joint, _ = next(judge([shown, denied], 2000, 0))
    assert joint.verdict == "within noise"
    assert joint.difference is not None
    assert joint.difference.mean == pytest.approx(0.0)


def test_the_table_has_a_line_a_claim_and_a_column_a_run() -> None:
    text = list(lines([run_of({"a": 0.3, "b": 0.5}), run_of({"a": 0.5, "b": 0.1})], 200, 0))
    assert len(text) == 2 + len(CLAIMS)
    assert text[2] == (
        f"| {FIRST.words} | prompt similarity | **+0.200 [+0.100, +0.300]** | +0.100 [-0.100, +0.300] "
        "| **+0.150 [+0.100, +0.200]** | agrees |"
    )


def test_runs_without_a_scene_in_common_say_nothing() -> None:
    for found, alone in judge([run_of({"a": 0.3}), run_of({"b": 0.3})], 200, 0):
        assert (found.difference, found.verdict, alone) == (None, "within noise", [None, None])


def test_a_claim_of_a_method_that_was_not_run_is_left_out() -> None:
    run = run_of({"a": 0.3, "b": 0.5})
    del run["no_phase1"]
    left = [found.claim for found, _ in judge([run], 200, 0)]
    assert left == [claim for claim in CLAIMS if claim.method != "no_phase1"]


def test_a_run_that_is_not_whole_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["protocol_runs", "jobs/protocol.yaml", str(tmp_path / "nothing")])
    with pytest.raises(SystemExit):
        protocol_runs.main()
    said = capsys.readouterr().err
    assert "nothing has no scores of break_a_scene" in said
    assert "unscene evaluate" in said


def test_the_second_base_is_taken_through_the_same_protocol() -> None:
    first, second = (
        load_spec(ROOT / spec).model_dump() for spec in ("jobs/protocol.yaml", "benchmarks/second_base/protocol.yaml")
    )
    differing = {name for name in first if first[name] != second[name]}
    assert differing == {"models", "output"}
    assert {name for name in first["models"] if first["models"][name] != second["models"][name]} == {"base"}

"""`unscene plan --probe`: what one worker has taken becomes the time of a job, and what does not fit is told."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.commands import probe as probe_module
from pipeline.commands.bill import Bill, Work, bill
from pipeline.commands.probe import Found, as_times, probe
from pipeline.storage.folder import Storage
from schemas.job import JobSpec
from tests.support import ROOT
from tests.support.tiny_models import build_tiny_model

COST = Bill(
    concepts=2,
    measured=False,
    pictures=10,
    side=64,
    find=4.0,
    learn=200.0,
    draw=100.0,
    judge=45.0,
    prior=30.0,
    handle_bytes=1.0,
    prepared_bytes=1.0,
    variation_bytes=1.0,
    score_bytes=1.0,
    forward=1.0,
    look=4.0,
)
SPEC = JobSpec.model_validate(
    {"source": {"uri": "/p"}, "output": "/out", "evaluate": {"enabled": True}, "cluster": {"segment": {"workers": 1}}}
)
WORK = Work(known=0, new=3, shards=1, left=3, undrawn=3, unsegmented=3, unscored=3, uningested=3)


def test_all_workers_share_what_one_has_taken() -> None:
    seconds = {"pass": 1.0, "generate": 2.0, "scenes": 4.0, "extract": 60.0, "segment": 3.0, "seen": 3.0, "judges": 1.0}
    times = as_times(SPEC, COST, Found(seconds), cores=2)
    assert times.scene == {"segment": 3.0, "extract": 30.0, "generate": 10.0, "evaluate": 20.0}
    assert times.prior == 6.0  # 30 TFLOP at 10 TFLOP in 2 s, by the one worker that prepares the stage
    assert times.total(WORK) == 3 * 63.0 + 6.0
    assert times.unknown(COST, WORK) == ["ingest", "pack"]
    whole = as_times(SPEC, COST, Found({**seconds, "ingest": 0.5, "pack": 0.25}), cores=2)
    assert (whole.scene["ingest"], whole.scene["pack"]) == (0.25, 0.25)  # two read, and one packs
    assert whole.total(WORK) == 3 * 63.5 + 6.0
    assert whole.unknown(COST, WORK) == []
    assert any("4 scenes side by side" in note for note in times.notes)


def test_workers_that_share_a_gpu_are_as_fast_as_one() -> None:
    found = Found({"pass": 0.01, "generate": 0.1, "seen": 2.0, "judges": 0.5}, device="A card", gpus=1)
    times = as_times(SPEC, COST, found, cores=16)
    assert times.scene["generate"] == pytest.approx(1.0)  # one worker has the card
    assert times.scene["evaluate"] == pytest.approx(25.0)  # two share it, and each has half of it
    assert "1 GPU, A card" in times.notes[0]
    assert as_times(SPEC, COST, replace(found, gpus=2), cores=16).scene["evaluate"] == pytest.approx(25.0 / 2)


def test_what_does_not_fit_comes_from_flops_and_is_named() -> None:
    times = as_times(SPEC, COST, Found({"pass": 20.0}), cores=1)
    assert times.scene == {"segment": 80.0, "extract": 4000.0, "generate": 2000.0, "evaluate": 900.0}
    assert any(
        note.strip().startswith("segment, extract, generate, evaluate: not measured, it would not fit into 30 s")
        for note in times.notes
    )
    nothing = as_times(SPEC, COST, Found(ended="loading the base hangs"), cores=1)
    assert nothing.unknown(COST, WORK) == ["ingest", "segment", "extract", "generate", "evaluate", "pack"]
    assert nothing.notes[-1].strip() == "loading the base hangs"


def test_a_job_of_given_handles_has_no_workers_that_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}

    def measure(what: dict[str, object]) -> Found:
        asked.update(what)
        return Found({"pass": 1.0, "generate": 2.0})

    monkeypatch.setattr(probe_module, "_measure", measure)
    given = JobSpec.model_validate({"source": {"handles": "/h"}, "output": "/out", "cluster": {"cpus": 1}})
    cost = replace(COST, find=0.0, learn=0.0, judge=0.0, prior=0.0)
    times = probe(given, cost, Work(known=3, new=0, shards=1, left=0, undrawn=3))
    assert (asked["scenes"], set(times.scene), times.scene["generate"]) == (1, {"generate", "pack"}, 20.0)


def test_a_probe_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_module, "BUDGET_S", 0.3)
    found, words = Found(), probe_module.Queue[str]()
    lines = [json.dumps({"found": "pass", "value": 1.0}), "a library's own word", json.dumps({"begin": "generate"})]
    reading = io.StringIO("\n".join(lines) + "\n")
    for line in reading:  # and then nothing more
        words.put(line)
    assert probe_module._listen(words, found) == "generate takes more than the half minute: not measured"
    assert found.seconds == {"pass": 1.0}


def test_a_real_process_measures_every_stage(tmp_path: Path) -> None:
    base = build_tiny_model(tmp_path / "base", side=64)
    few = {"phase1": {"steps": 3}, "phase2": {"steps": 3}, "prior": {"images": 1, "steps": 1}, "batch": 2}
    spec = JobSpec.model_validate(
        {
            "source": {"uri": str(ROOT / "demo" / "bucket"), "limit": 3},
            "output": str(tmp_path / "out"),
            "models": {"base": str(base)},
            "segment": {"points_per_side": 4},
            "extract": few,
            "generate": {"steps": 4, "images_per_prompt": 1, "prompts": ["a photo of {handles}"]},
            "evaluate": {"enabled": True},
            "cluster": {"cpus": 1},
        }
    )
    cost = bill(spec, Storage(spec.output))
    times = probe(spec, cost, WORK)
    assert set(times.scene) == {"ingest", "segment", "extract", "generate", "evaluate", "pack"}
    assert all(0 < seconds < 60 for seconds in times.scene.values())
    assert not any("not measured" in note or "ended" in note for note in times.notes)
    assert not (tmp_path / "out").exists()

"""A process that is killed in the middle of a scene: its successor goes on from the batch's last checkpoint."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from pathlib import Path

import pytest
import torch

from schemas.job import JobSpec
from schemas.records import SceneOutput
from stages.extract import trainer as trainer_module
from stages.extract.checkpoint import unpack_scene
from stages.extract.stage import SCRATCH, ExtractStage
from tests.tiny_models import build_tiny_model, tiny_spec, tiny_task

STEPS = 6
TASKS = ((0, 2), (1, 3), (2, 1))


def spec_of(model_dir: Path, **extract: object) -> JobSpec:
    phases = {"phase1": {"steps": STEPS, "lr": 5e-3}, "phase2": {"steps": STEPS, "lr": 1e-3}}
    return tiny_spec(model_dir, extract={**phases, "batch": 3, "checkpoint_every_s": 1e-9, **extract})


def run(spec: JobSpec, shared: Path, told: list[dict] | None = None, die_after: int = -1) -> list[SceneOutput]:
    """The stage over TASKS; with `die_after` the process kills itself after so many steps."""
    trainer_module.PROGRESS_EVERY_S = 0.0
    words = [] if told is None else told
    stage = ExtractStage(spec, str(shared))
    stage.prepare()
    stage.setup()

    def progress(word: dict) -> None:
        words.append(word)
        if len(words) == die_after:
            os.kill(os.getpid(), signal.SIGKILL)

    stage.progress = progress
    return list(stage.process([tiny_task(*task) for task in TASKS]))


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(autouse=True)
def clock_of_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer_module, "PROGRESS_EVERY_S", trainer_module.PROGRESS_EVERY_S)


@pytest.mark.parametrize("die_after", [4, STEPS + 3])
def test_the_successor_of_a_killed_process_ends_with_the_same_scenes(model_dir: Path, tmp_path: Path,
                                                                     die_after: int) -> None:
    spec = spec_of(model_dir)
    whole = run(spec, tmp_path / "whole")
    process = multiprocessing.get_context("fork").Process(
        target=run, args=(spec, tmp_path / "shared", None, die_after))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    assert len(list((tmp_path / "shared" / SCRATCH).iterdir())) == 1
    told: list[dict] = []
    resumed = run(spec, tmp_path / "shared", told)
    assert len(told) == 2 * STEPS - (die_after - 1), "only the steps that were not kept are done again"
    for one, two in zip(whole, resumed, strict=True):
        assert one.failure is None
        assert two.failure is None
        first, second = (unpack_scene(o.files[f"{o.scene_id}.safetensors"]) for o in (one, two))
        torch.testing.assert_close(second.handles, first.handles, rtol=1e-5, atol=1e-6)
        for name, factor in first.lora.items():
            torch.testing.assert_close(second.lora[name], factor, rtol=1e-3, atol=1e-6)  # stored as float16
        curves = [json.loads(o.files[f"{o.scene_id}.json"])["curves"] for o in (one, two)]
        assert curves[0]["diffusion"] == pytest.approx(curves[1]["diffusion"], rel=1e-5)
    assert list((tmp_path / "shared" / SCRATCH).iterdir()) == [], "nothing is left once the scenes are out"


def test_other_settings_do_not_take_the_checkpoint(model_dir: Path, tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(
        target=run, args=(spec_of(model_dir), tmp_path / "shared", None, 4))
    process.start()
    process.join(120)
    told: list[dict] = []
    run(spec_of(model_dir, weight_decay=0.5), tmp_path / "shared", told)
    assert len(told) == 2 * STEPS


def test_without_checkpoints_nothing_is_written(model_dir: Path, tmp_path: Path) -> None:
    run(spec_of(model_dir, checkpoint_every_s=None), tmp_path / "shared")
    assert not (tmp_path / "shared" / SCRATCH).exists()

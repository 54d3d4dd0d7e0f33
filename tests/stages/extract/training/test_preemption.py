"""A process that is killed in the middle of a scene: its successor goes on from the batch's last checkpoint."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save

from pipeline.ledger.withdrawals import FOLDER, withdrawn_scenes
from pipeline.storage.folder import Storage
from schemas.job import JobSpec
from schemas.masks import decode_mask, encode_mask
from schemas.outcomes import SceneOutput, SceneTask
from stages.extract import stage as stage_module
from stages.extract.method.latents import SceneLatents, decode_picture
from stages.extract.stage import SCRATCH, ExtractStage
from stages.extract.training import trainer as trainer_module
from stages.handles.weights import unpack_scene
from stages.models.base.base_model import BaseModel
from stages.stage import StageContext
from tests.support.tiny_models import build_tiny_model, tiny_spec, tiny_task

STEPS = 6
TASKS = ((0, 2), (1, 3), (2, 1))


def spec_of(model_dir: Path, **extract: object) -> JobSpec:
    phases = {"phase1": {"steps": STEPS, "lr": 5e-3}, "phase2": {"steps": STEPS, "lr": 1e-3}}
    return tiny_spec(model_dir, extract={**phases, "batch": 3, "checkpoint_every_s": 1e-9, **extract})


def run(
    spec: JobSpec,
    shared: Path,
    told: list[dict] | None = None,
    die_after: int = -1,
    change: Callable[[SceneTask], SceneTask] = lambda task: task,
) -> list[SceneOutput]:
    """The stage over TASKS; with `die_after` the process kills itself after so many steps."""
    trainer_module.PROGRESS_EVERY_S = 0.0
    words = [] if told is None else told

    def progress(word: dict) -> None:
        words.append(word)
        if len(words) == die_after:
            os.kill(os.getpid(), signal.SIGKILL)

    stage = ExtractStage(spec, StageContext(str(shared), progress))
    stage.prepare()
    stage.setup()
    return list(stage.process([change(tiny_task(*task)) for task in TASKS]))


def spent(kept: Path, now: float) -> float:
    """The seconds that a checkpoint tells of, which are `now` from here on."""
    tensors = load(kept.read_bytes())
    about = json.loads(tensors["about"].numpy().tobytes())
    before, about["seconds"] = about["seconds"], now
    tensors["about"] = torch.frombuffer(bytearray(json.dumps(about).encode()), dtype=torch.uint8)
    kept.write_bytes(save(tensors))
    return float(before)


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(autouse=True)
def clock_of_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer_module, "PROGRESS_EVERY_S", trainer_module.PROGRESS_EVERY_S)


@pytest.mark.parametrize("die_after", [4, STEPS + 3])
def test_the_successor_of_a_killed_process_ends_with_the_same_scenes(
    model_dir: Path, tmp_path: Path, die_after: int
) -> None:
    spec = spec_of(model_dir)
    whole = run(spec, tmp_path / "whole")
    process = multiprocessing.get_context("fork").Process(target=run, args=(spec, tmp_path / "shared", None, die_after))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    (kept,) = (tmp_path / "shared" / SCRATCH).iterdir()
    assert 0 < spent(kept, 3000.0) < 120
    told: list[dict] = []
    resumed = run(spec, tmp_path / "shared", told)
    assert len(told) == 2 * STEPS - (die_after - 1), "only the steps that were not kept are done again"
    for one, two in zip(whole, resumed, strict=True):
        assert one.failure is None
        assert two.failure is None
        assert two.rows[0]["seconds"] > 1000 > one.rows[0]["seconds"], "with what was spent before"
        first, second = (unpack_scene(o.files[f"{o.scene_id}.safetensors"]) for o in (one, two))
        torch.testing.assert_close(second.handles, first.handles, rtol=1e-5, atol=1e-6)
        for name, factor in first.lora.items():
            torch.testing.assert_close(second.lora[name], factor, rtol=1e-3, atol=1e-6)  # stored as float16
        curves = [json.loads(o.files[f"{o.scene_id}.json"])["curves"] for o in (one, two)]
        assert curves[0]["diffusion"] == pytest.approx(curves[1]["diffusion"], rel=1e-5)
    assert list((tmp_path / "shared" / SCRATCH).iterdir()) == [], "nothing is left once the scenes are out"


def test_other_masks_do_not_take_the_checkpoint(model_dir: Path, tmp_path: Path) -> None:
    """As of a scene whose mask was corrected, and which is made anew: it has the same id, words and settings."""

    def mirrored(task: SceneTask) -> SceneTask:
        rows = [row | {"mask": encode_mask(decode_mask(row["mask"])[:, ::-1])} for row in task.rows["concepts"]]
        return replace(task, rows={**task.rows, "concepts": rows})

    process = multiprocessing.get_context("fork").Process(
        target=run, args=(spec_of(model_dir), tmp_path / "shared", None, STEPS + 3)
    )
    process.start()
    process.join(120)
    told: list[dict] = []
    run(spec_of(model_dir), tmp_path / "shared", told, change=mirrored)
    assert len(told) == 2 * STEPS


def test_other_settings_do_not_take_the_checkpoint(model_dir: Path, tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(
        target=run, args=(spec_of(model_dir), tmp_path / "shared", None, 4)
    )
    process.start()
    process.join(120)
    told: list[dict] = []
    run(spec_of(model_dir, weight_decay=0.5), tmp_path / "shared", told)
    assert len(told) == 2 * STEPS


def test_without_checkpoints_nothing_is_written(model_dir: Path, tmp_path: Path) -> None:
    outputs = run(spec_of(model_dir, checkpoint_every_s=None), tmp_path / "shared")
    assert all(output.failure is None for output in outputs)
    assert not (tmp_path / "shared" / SCRATCH).exists()


def test_of_eight_scenes_one_turns_to_nan_and_one_is_withdrawn_while_they_train(
    model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the stage, with the marks that `unscene withdraw` leaves: two failure rows, six scenes as ever."""
    spec, marks = spec_of(model_dir, batch=8, checkpoint_every_s=None), Storage(str(tmp_path / "out"))
    tasks = [tiny_task(n, n % 4 + 1) for n in range(8)]

    def progress(word: dict) -> None:
        if (word["phase"], word["step"]) == (2, 2):
            marks.create(f"{FOLDER}/scene5", b"")

    def outputs(sick: bool) -> dict[str, SceneOutput]:
        context = StageContext(str(tmp_path / "shared"))
        if sick:
            context = replace(context, progress=progress, withdrawn=partial(withdrawn_scenes, marks))
        stage = ExtractStage(spec, context)
        stage.prepare()
        stage.setup()
        encode = stage_module.encode_scene

        def poison(base: BaseModel, picture: torch.Tensor, masks: torch.Tensor, side: int) -> SceneLatents:
            latents = encode(base, picture, masks, side)
            if torch.equal(picture, decode_picture(tasks[3].files["png"], base.side)):
                latents.mean[:] = float("nan")
            return latents

        with monkeypatch.context() as patch:
            if sick:
                patch.setattr(stage_module, "encode_scene", poison)
            return {output.scene_id: output for output in stage.process(tasks)}

    monkeypatch.setattr(trainer_module, "PROGRESS_EVERY_S", 0.0)
    healthy, struck = outputs(sick=False), outputs(sick=True)
    failures = {name: (o.failure.error, o.failure.message) for name, o in struck.items() if o.failure}
    assert set(failures) == {"scene3", "scene5"}
    assert "diverged at phase 1 step 0" in failures["scene3"][1]
    assert failures["scene5"] == ("Withdrawn", "withdrawn at phase 2 step 2")
    for name in set(struck) - set(failures):
        one, two = (unpack_scene(found[name].files[f"{name}.safetensors"]) for found in (healthy, struck))
        torch.testing.assert_close(two.handles, one.handles, rtol=1e-5, atol=1e-6)
        # As a whole: a gradient near zero is rounding, and AdamW makes a whole step of it in a single element.
        mine, theirs = (torch.cat([w.lora[key].float().flatten() for key in sorted(w.lora)]) for w in (one, two))
        assert float((mine - theirs).norm() / mine.norm()) < 1e-4

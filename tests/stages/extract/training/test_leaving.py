"""Scenes that leave their batch, and batches that go on in another process: the others see nothing of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from schemas.job import Extract
from stages.extract.training import trainer as trainer_module
from stages.extract.training.batch import TrainingBatch
from stages.extract.training.checkpoint import CheckpointFile
from stages.extract.training.trainer import TrainedScene, Trainer, TrainingScene
from stages.handles.scene_model import SceneModel
from stages.models.base.loading import load_base
from stages.stage import Parting, none_withdrawn
from tests.support.tiny_models import build_tiny_model, tiny_scene

STEPS = 8
SETTINGS = Extract.model_validate(
    {
        "phase1": {"steps": STEPS, "lr": 5e-3},
        "phase2": {"steps": STEPS, "lr": 1e-3},
        "lora": {"rank": 2, "text_encoder": True},
    }
)
PRIOR = torch.randn(3, 4, 16, 16, generator=torch.Generator().manual_seed(9))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> SceneModel:
    directory = build_tiny_model(tmp_path_factory.mktemp("tiny"))
    return SceneModel(load_base(str(directory), None, torch.float32, "cpu"), "<asset{index}>")


@pytest.fixture(scope="module")
def scenes(model: SceneModel) -> list[TrainingScene]:
    """Seven scenes, numbers 0 to 6, of one to four concepts."""
    return [tiny_scene(model, number, number % 4 + 1) for number in range(7)]


@pytest.fixture(scope="module")
def together(model: SceneModel, scenes: list[TrainingScene]) -> list[TrainedScene]:
    return Trainer(model, SETTINGS, 0, PRIOR).train(scenes)


@pytest.fixture
def watchful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step looks at who has diverged and who is withdrawn."""
    monkeypatch.setattr(trainer_module, "PROGRESS_EVERY_S", 0.0)
    monkeypatch.setattr(trainer_module, "CHECK_EVERY", 2)


def everything(scene: TrainedScene) -> list[Tensor]:
    return [scene.handles, scene.curves, *(scene.lora[name] for name in sorted(scene.lora))]


def assert_same(one: TrainedScene, two: TrainedScene, tolerance: float) -> None:
    assert one.diverged is None
    assert one.withdrawn is None
    assert len(one.curves) == 2 * STEPS
    for mine, theirs in zip(everything(one), everything(two), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=tolerance, atol=tolerance)


def poisoned(scene: TrainingScene, side: int | slice) -> TrainingScene:
    """side 1: only the mirror image, so that the scene dies at its first flip."""
    mean = scene.latents.mean.clone()
    mean[side] = float("nan")
    return replace(scene, latents=replace(scene.latents, mean=mean))


class WithdrawAfter:
    """Withdraws `names` from the `steps`-th question on; one question a step."""

    def __init__(self, steps: int, *names: str) -> None:
        self.steps, self.names, self.asked = steps, frozenset(names), 0

    def __call__(self) -> frozenset[str]:
        self.asked += 1
        return self.names if self.asked >= self.steps else frozenset()


@pytest.mark.parametrize("step", [3, STEPS + 3])
def test_one_diverges_and_one_is_withdrawn_and_the_others_are_unchanged(
    model: SceneModel, scenes: list[TrainingScene], together: list[TrainedScene], watchful: None, step: int
) -> None:
    batch = [*scenes[:3], poisoned(scenes[3], 1), *scenes[4:]]
    results = Trainer(model, SETTINGS, 0, PRIOR, withdrawn=WithdrawAfter(step, "scene5")).train(batch)
    assert [r.scene_id for r in results] == [s.scene_id for s in scenes]
    assert results[3].diverged is not None
    assert results[3].diverged[0] == 1
    assert results[5].withdrawn == ((1, 3) if step < STEPS else (2, 3))
    assert len(results[5].curves) == step
    for number in (0, 1, 2, 4, 6):
        assert_same(results[number], together[number], 1e-5)


def test_a_batch_whose_scenes_have_all_left_ends(
    model: SceneModel, scenes: list[TrainingScene], watchful: None
) -> None:
    asked = WithdrawAfter(2, "scene0")
    results = Trainer(model, SETTINGS, 0, PRIOR, withdrawn=asked).train([scenes[0], poisoned(scenes[1], slice(None))])
    assert results[0].withdrawn == (1, 2)
    assert results[1].diverged == (1, 0)
    assert asked.asked == 2, "no step is made for an empty batch"


class Preempted(Exception):
    """Stands for the end of the process: whatever it held in memory is gone."""


def interrupted(
    model: SceneModel,
    scenes: list[TrainingScene],
    checkpoints: CheckpointFile,
    after: int,
    settings: Extract = SETTINGS,
    withdrawn: Callable[[], frozenset[str]] = none_withdrawn,
) -> None:
    told = 0

    def progress(word: dict) -> None:
        nonlocal told
        told += 1
        if told == after:
            raise Preempted

    with pytest.raises(Preempted):
        Trainer(model, settings, 0, PRIOR, progress, withdrawn, checkpoints).train(scenes)


def checkpoints_in(folder: Path) -> CheckpointFile:
    return CheckpointFile(str(folder), "batch.safetensors", every_s=1e-9)


@pytest.mark.parametrize("after", [1, 5, STEPS, STEPS + 1, 2 * STEPS - 1])
def test_a_successor_goes_on_where_the_process_ended(
    model: SceneModel,
    scenes: list[TrainingScene],
    together: list[TrainedScene],
    watchful: None,
    tmp_path: Path,
    after: int,
) -> None:
    interrupted(model, scenes, checkpoints_in(tmp_path), after)
    done = []
    results = Trainer(model, SETTINGS, 0, PRIOR, done.append, checkpoints=checkpoints_in(tmp_path)).train(scenes)
    kept = after - 1  # the state after a step is kept once the step has been told
    if after == STEPS + 1:
        kept = STEPS - 1  # nothing is kept between the phases: the last of the first is
    assert len(done) == 2 * STEPS - kept, "what was kept is not done again"
    for one, two in zip(results, together, strict=True):
        assert_same(one, two, 1e-5)


def test_a_state_is_kept_at_once_when_the_process_is_to_end(
    model: SceneModel, scenes: list[TrainingScene], watchful: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two of the usual ones, once, and told to whoever waits for it."""
    parting = Parting()
    kept = CheckpointFile(str(tmp_path), "batch.safetensors", every_s=1e9, parting=parting)
    saved: list[tuple[int, int]] = []
    save = kept.save

    def noted(batch: TrainingBatch, phase: int, steps: int) -> None:
        saved.append((phase, steps))
        save(batch, phase, steps)

    monkeypatch.setattr(kept, "save", noted)

    def progress(word: dict) -> None:
        if word["step"] == 3 and word["phase"] == 1:
            assert not parting.ask(0.0)

    Trainer(model, SETTINGS, 0, PRIOR, progress, checkpoints=kept).train(scenes)
    assert saved == [(1, 3)]
    assert parting.ask(0.0)
    assert not parting.due
    found = kept.load(TrainingBatch(scenes, model).order)
    assert found is not None
    assert (found.phase, found.steps) == (1, 3)


def test_a_state_that_cannot_be_kept_is_said_so(
    model: SceneModel, scenes: list[TrainingScene], watchful: None, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    parting = Parting()
    parting.ask(0.0)
    lost = CheckpointFile(str(tmp_path / "file"), "batch.safetensors", every_s=1e9, parting=parting)
    Trainer(model, SETTINGS, 0, PRIOR, checkpoints=lost).train(scenes)
    assert not parting.ask(0.0)
    assert not parting.due, "it is not tried at every step"


def test_who_had_left_stays_away_after_a_preemption(
    model: SceneModel, scenes: list[TrainingScene], together: list[TrainedScene], watchful: None, tmp_path: Path
) -> None:
    batch = [scenes[0], poisoned(scenes[1], slice(None)), *scenes[2:]]
    interrupted(model, batch, checkpoints_in(tmp_path), STEPS + 4, withdrawn=WithdrawAfter(4, "scene5"))
    results = Trainer(model, SETTINGS, 0, PRIOR, checkpoints=checkpoints_in(tmp_path)).train(batch)
    assert results[1].diverged == (1, 0)
    assert results[5].withdrawn == (1, 4)
    for number in (0, 2, 3, 4, 6):
        assert_same(results[number], together[number], 1e-5)


def test_full_tuning_goes_on_too(
    model: SceneModel, scenes: list[TrainingScene], watchful: None, tmp_path: Path
) -> None:
    settings = Extract.model_validate(SETTINGS.model_dump() | {"tuning": "full", "phase2": {"steps": 4, "lr": 1e-4}})
    (whole,) = Trainer(model, settings, 0, PRIOR).train(scenes[1:2])
    interrupted(model, scenes[1:2], checkpoints_in(tmp_path), STEPS + 3, settings)
    (resumed,) = Trainer(model, settings, 0, PRIOR, checkpoints=checkpoints_in(tmp_path)).train(scenes[1:2])
    torch.testing.assert_close(resumed.handles, whole.handles, rtol=1e-5, atol=1e-6)
    assert resumed.full.keys() == whole.full.keys()
    for name, weights in whole.full.items():
        torch.testing.assert_close(resumed.full[name], weights, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("damage", [b"", b"no tensors at all", None])
def test_a_checkpoint_that_cannot_be_read_is_no_checkpoint(
    model: SceneModel,
    scenes: list[TrainingScene],
    together: list[TrainedScene],
    watchful: None,
    tmp_path: Path,
    damage: bytes | None,
) -> None:
    interrupted(model, scenes[:2], checkpoints_in(tmp_path), 3)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-100] if damage is None else damage)
    results = Trainer(model, SETTINGS, 0, PRIOR, checkpoints=checkpoints_in(tmp_path)).train(scenes[:2])
    assert_same(results[1], together[1], 1e-4)


def test_a_checkpoint_that_cannot_be_used_costs_no_scene(
    model: SceneModel,
    scenes: list[TrainingScene],
    together: list[TrainedScene],
    watchful: None,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "file").write_bytes(b"where a folder should be")
    results = Trainer(model, SETTINGS, 0, PRIOR, checkpoints=checkpoints_in(tmp_path / "file")).train(scenes[:2])
    assert_same(results[1], together[1], 1e-4)
    assert "could not be written" in caplog.text
    checkpoints_in(tmp_path / "file").clear()


def test_a_checkpoint_of_other_scenes_is_not_taken(
    model: SceneModel, scenes: list[TrainingScene], watchful: None, tmp_path: Path
) -> None:
    interrupted(model, scenes[:2], checkpoints_in(tmp_path), 3)
    assert checkpoints_in(tmp_path).load(["scene0", "scene2"]) is None
    assert checkpoints_in(tmp_path).load(["scene0", "scene1"]) is not None
    checkpoints_in(tmp_path).clear()
    assert checkpoints_in(tmp_path).load(["scene0", "scene1"]) is None
    checkpoints_in(tmp_path).clear()

"""How many scenes train side by side: what the probe finds, and what happens when it was wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from schemas.job import Extract
from stages.extract import stage as stage_module
from stages.extract.stage import ExtractStage
from stages.extract.training import batch_size
from stages.extract.training.batch import TrainedScene, TrainingScene
from stages.extract.training.batch_size import free_memory, pick_batch, scenes_that_fit
from stages.handles.full_weights import tunable
from stages.handles.scene_model import SceneModel
from stages.models.base.loading import load_base
from stages.stage import StageContext
from stages.transient import is_out_of_memory
from tests.support.tiny_models import build_tiny_model, tiny_spec, tiny_task

GIB = 1 << 30


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def model(model_dir: Path) -> SceneModel:
    return SceneModel(load_base(str(model_dir), None, torch.float32, "cpu"), "<asset{index}>")


def test_fixed_and_growing_memory_are_told_apart() -> None:
    assert scenes_that_fit(one=3 * GIB, two=5 * GIB, free=13.9 * GIB, most=32) == 6
    assert scenes_that_fit(one=3 * GIB, two=5 * GIB, free=13.9 * GIB, most=4) == 4
    assert scenes_that_fit(one=3 * GIB, two=5 * GIB, free=1 * GIB, most=32) == 1, "one scene is always tried"


def test_the_probe_measures_what_a_scene_keeps(model: SceneModel) -> None:
    settings, prior = Extract(), torch.zeros(2, 4, 16, 16)
    one, two, four = (batch_size._cost(model, settings, prior, n) for n in (1, 2, 4))
    assert one > 100_000
    assert four - two == pytest.approx(2 * (two - one), rel=0.05), "memory is a line in the number of scenes"
    without = batch_size._cost(model, settings, None, 1)
    assert without < 0.7 * one, "the prior's rows count"


def test_the_pick_follows_the_free_memory_and_leaves_the_base_alone(
    model: SceneModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {name: p.detach().clone() for name, p in tunable(model.base).items()}
    settings, prior = Extract(), torch.zeros(2, 4, 16, 16)
    one, two = (batch_size._cost(model, settings, prior, n) for n in (1, 2))
    monkeypatch.setattr(batch_size, "free_memory", lambda device: (one + 2.5 * (two - one)) / 0.25)
    assert pick_batch(model, settings, prior) == 3
    monkeypatch.undo()
    assert pick_batch(model, settings, prior) == 16
    assert pick_batch(model, Extract(tuning="full"), prior) == 1
    assert model.embeddings[0].handles is None
    assert all(torch.equal(p, before[name]) and not p.requires_grad for name, p in tunable(model.base).items())


def test_free_memory_is_real() -> None:
    assert 1 << 20 < free_memory(torch.device("cpu")) < 1 << 50


@pytest.mark.parametrize(
    ("error", "fewer_may_help"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of luck"), False),
    ],
)
def test_which_errors_a_smaller_batch_may_mend(error: Exception, fewer_may_help: bool) -> None:
    assert is_out_of_memory(error) is fewer_may_help


def test_a_batch_out_of_memory_is_halved_for_good_and_no_scene_is_lost(
    model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    class Narrow(stage_module.Trainer):
        """The real trainer on a machine with room for two."""

        def train(self, scenes: Sequence[TrainingScene]) -> list[TrainedScene]:
            sizes.append(len(scenes))
            if len(scenes) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().train(scenes)

    monkeypatch.setattr(stage_module, "Trainer", Narrow)
    stage = ExtractStage(tiny_spec(model_dir, extract={"batch": 4}), StageContext(str(tmp_path / "shared")))
    stage.prepare()
    stage.setup()
    outputs = list(stage.process([tiny_task(n, 1) for n in range(7)]))
    assert sorted(o.scene_id for o in outputs) == [f"scene{n}" for n in range(7)]
    assert all(o.failure is None for o in outputs)
    assert sizes == [4, 2, 2, 2, 1]


def test_auto_is_the_default_and_the_stage_asks_the_probe(
    model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_size, "free_memory", lambda device: 1.0)
    stage = ExtractStage(tiny_spec(model_dir), StageContext(str(tmp_path / "shared")))
    assert stage.spec.extract.batch == "auto"
    stage.prepare()
    stage.setup()
    assert stage.size == 1

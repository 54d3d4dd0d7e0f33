"""Eight scenes side by side, one to four concepts, both phases, in float32: what each learns and draws is what it
would alone (invariant 5)."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from schemas.job import JobSpec
from schemas.outcomes import SceneOutput, SceneTask
from stages.extract.stage import ExtractStage
from stages.generate.stage import GenerateStage
from stages.handles.weights import unpack_scene
from stages.stage import StageContext
from tests.support.tiny_models import build_tiny_model, tiny_spec, tiny_task

SCENES = 8
STEPS = 12


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("tiny"), "v_prediction")


def spec_of(model_dir: Path, batch: int) -> JobSpec:
    return tiny_spec(
        model_dir,
        extract={"phase1": {"steps": STEPS, "lr": 5e-3}, "phase2": {"steps": STEPS, "lr": 1e-3}, "batch": batch},
    )


@pytest.fixture(scope="module")
def learned(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[SceneOutput]]:
    """Batch -> outputs of all scenes."""
    shared, found = tmp_path_factory.mktemp("shared"), {}
    for batch in (1, SCENES):
        stage = ExtractStage(spec_of(model_dir, batch), StageContext(str(shared)))
        stage.prepare()
        stage.setup()
        found[batch] = list(stage.process([tiny_task(n, n % 4 + 1) for n in range(SCENES)]))
        assert all(output.failure is None for output in found[batch])
    return found


def test_handles_and_factors_are_the_same(learned: dict[int, list[SceneOutput]]) -> None:
    for alone, beside in zip(learned[1], learned[SCENES], strict=True):
        one, two = (unpack_scene(o.files[f"{o.scene_id}.safetensors"]) for o in (alone, beside))
        assert len(one.tokens) == len(one.handles) == len(alone.rows)
        assert float((one.handles - two.handles).norm() / one.handles.norm()) < 1e-4
        mine, theirs = (torch.cat([w.lora[name].float().flatten() for name in sorted(w.lora)]) for w in (one, two))
        assert float((mine - theirs).norm() / mine.norm()) < 1e-4
        ups = torch.cat([t.flatten() for name, t in one.lora.items() if "lora_B" in name])
        assert float(ups.abs().max()) > 1e-3, "phase 2 has moved them"
    first, second = (learned[1][n].rows[0]["embedding"] for n in (0, 4))
    assert max(abs(a - b) for a, b in zip(first, second, strict=True)) > 1e-3, "scenes differ from each other"


def test_pictures_are_the_same(model_dir: Path, learned: dict[int, list[SceneOutput]]) -> None:
    stage = GenerateStage(spec_of(model_dir, 1), StageContext("memory://none"))
    stage.setup()
    drawn = {}
    for batch, outputs in learned.items():
        tasks = [
            SceneTask(o.scene_id, {"handles": o.rows}, {"safetensors": o.files[f"{o.scene_id}.safetensors"]})
            for o in outputs
        ]
        files = {name: data for output in stage.process(tasks) for name, data in output.files.items()}
        drawn[batch] = {
            name: np.asarray(Image.open(io.BytesIO(data)), dtype=float)
            for name, data in files.items()
            if name.endswith("png")
        }
    assert drawn[1].keys() == drawn[SCENES].keys()
    assert len(drawn[1]) > 3 * SCENES
    for name, picture in drawn[1].items():
        error = ((picture - drawn[SCENES][name]) ** 2).mean()
        assert error == 0 or 10 * np.log10(255**2 / error) >= 40, name

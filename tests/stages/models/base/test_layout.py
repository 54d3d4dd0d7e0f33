"""The size that a base works at: its own pipeline's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline

from stages.handles.cost import scene_cost
from stages.handles.scene_model import SceneModel
from stages.models.base.layout import attention_sides, model_side
from stages.models.base.loading import load_base
from tests.support.tiny_models import build_tiny_model, tiny_spec


def edit(folder: Path, **fields: Any) -> None:
    file = folder / "unet" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


@pytest.mark.parametrize(
    ("size", "version"),
    [(8, "0.6.0"), (32, "0.8.1"), ([8, 8], "0.6.0"), (8, "0.9.0"), (8, "0.42.1"), (72, "0.6.0")],
)
def test_a_size_of_old_conversions_is_repaired_as_the_pipeline_does(size: Any, version: str, tmp_path: Path) -> None:
    folder = build_tiny_model(tmp_path / "base")
    edit(folder, sample_size=size, _diffusers_version=version)
    wanted = StableDiffusionPipeline.from_pretrained(folder).unet.config.sample_size
    wanted = wanted if isinstance(wanted, int) else wanted[0]
    base = load_base(str(folder), None, torch.float32, "cpu")
    assert model_side(str(folder)) == base.side == 4 * wanted
    assert base.latent_shape == (4, wanted, wanted)
    assert attention_sides(str(folder)) == [wanted // 2, wanted // 4]
    assert SceneModel(base, "<asset{index}>").recorder.side in attention_sides(str(folder))


def test_what_is_repaired_is_what_is_paid_for(tmp_path: Path) -> None:
    folder = build_tiny_model(tmp_path / "base")
    edit(folder, sample_size=64)
    wanted = scene_cost(tiny_spec(folder))["forward_tflop"]
    old = shutil.copytree(folder, tmp_path / "old")
    edit(old, sample_size=32, _diffusers_version="0.6.0")
    assert scene_cost(tiny_spec(old))["forward_tflop"] == wanted

"""A scene loaded into an open diffusers pipeline draws what the generate stage drew; several side by side, too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from schemas.errors import CommandError
from schemas.outcomes import SceneOutput
from stages.handles.diffusers_pipeline import base_pipeline, load_scene
from tests.stages.handles.test_diffusers_files import draw, extract, ours, psnr
from tests.support.tiny_models import build_tiny_model
from tests.support.tiny_sdxl import build_tiny_sdxl

SHORT = {"phase1": {"steps": 4, "lr": 0.05}, "phase2": {"steps": 4, "lr": 0.05}}


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("tiny"), "v_prediction")


@pytest.fixture(scope="module")
def scene(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> SceneOutput:
    return extract(model_dir, tmp_path_factory.mktemp("shared"), **SHORT)


def weights(scene: SceneOutput) -> bytes:
    return scene.files["scene0.safetensors"]


def info(scene: SceneOutput, scene_id: str = "scene0") -> dict[str, Any]:
    return json.loads(scene.files["scene0.json"]) | {"scene_id": scene_id}


@pytest.mark.parametrize("tuning", ["lora", "full", "cross_kv"])
def test_it_draws_the_picture_of_the_generate_stage(
    model_dir: Path, scene: SceneOutput, tmp_path: Path, tuning: str
) -> None:
    if tuning != "lora":
        full = {"full": {"targets": "cross_kv"}} if tuning == "cross_kv" else {}
        scene = extract(model_dir, tmp_path, tuning="full", phase2={"steps": 3, "lr": 1e-2}, **full)
    row, picture = ours(model_dir, scene, "ddim")
    pipe = base_pipeline(str(model_dir))
    assert load_scene(pipe, weights(scene), info(scene)) == ["<asset0>", "<asset1>"]
    assert psnr(draw(pipe, row), picture) >= 45


def test_two_scenes_in_one_pipeline_stay_apart(model_dir: Path, scene: SceneOutput, tmp_path: Path) -> None:
    other = extract(model_dir, tmp_path, phase1={"steps": 2, "lr": 0.1}, phase2={"steps": 2, "lr": 0.1})
    row, _ = ours(model_dir, scene, "ddim")
    pipe = base_pipeline(str(model_dir))
    load_scene(pipe, weights(scene), info(scene))
    alone = draw(pipe, row)
    tokens = load_scene(pipe, weights(other), info(other, "scene1"))
    assert tokens == ["<asset0-scene1>", "<asset1-scene1>"]
    named = row["prompt"].replace("<asset0>", tokens[0]).replace("<asset1>", tokens[1])
    theirs, picture = ours(model_dir, other, "ddim")
    assert psnr(draw(pipe, theirs | {"prompt": named}), picture) >= 45
    assert psnr(alone, picture) < 45, "the two scenes must differ, or the test shows nothing"
    pipe.set_adapters("scene0")
    assert np.array_equal(draw(pipe, row), alone)


def test_a_scene_that_is_there_and_another_base_are_refused(
    model_dir: Path, scene: SceneOutput, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pipe = base_pipeline(str(model_dir))
    load_scene(pipe, weights(scene), info(scene))
    with pytest.raises(CommandError, match="^pipe: it has the handles of scene0 already"):
        load_scene(pipe, weights(scene), info(scene))
    pipe.unet.half()
    with pytest.raises(
        CommandError, match=r"^pipe: its parts are of several dtypes \(unet float16, text encoder 1 flo"
    ):
        load_scene(pipe, weights(scene), info(scene, "scene1"))
    two = base_pipeline(str(build_tiny_sdxl(tmp_path_factory.mktemp("xl"))))
    assert {part.dtype for part in (two.unet, two.text_encoder, two.text_encoder_2, two.vae)} == {torch.float32}
    with pytest.raises(
        CommandError, match=r"^pipe: its text encoders are \d+ and \d+ wide, .* they were learned on, /"
    ):
        load_scene(two, weights(scene), info(scene))

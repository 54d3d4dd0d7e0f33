"""Each set of LoRA targets as a file: diffusers loads it, merges it, and `unscene plan` foretells its size."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from PIL import Image

from benchmarks.lora import SD21_TEXTS
from benchmarks.models import SD21
from schemas.job import JobSpec
from schemas.outcomes import SceneOutput, SceneTask
from stages.extract.stage import ExtractStage
from stages.generate.stage import GenerateStage
from stages.handles.cost import meta_unet, scene_cost
from stages.handles.diffusers_files import export_scene
from stages.handles.scene_model import SceneModel
from stages.handles.sizes import handle_bytes
from stages.handles.weights import SceneWeights, pack_scene
from stages.models.base.loading import load_base
from stages.stage import StageContext
from tests.support.exported import load_embeddings, scene_in
from tests.support.tiny_models import build_tiny_model, tiny_spec, tiny_task

TARGETS = ("cross_kv", "attention", "attention_ff", "attention_ff_conv")


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("tiny"), "v_prediction")


def trained(model_dir: Path, shared: Path, targets: str) -> SceneOutput:
    spec = tiny_spec(
        model_dir,
        extract={
            "prior": {"weight": 0},
            "phase1": {"steps": 4, "lr": 0.05},
            "phase2": {"steps": 4, "lr": 0.05},
            "lora": {"rank": 4, "targets": targets},
        },
    )
    stage = ExtractStage(spec, StageContext(str(shared)))
    stage.setup()
    (output,) = stage.process([tiny_task(0, 2)])
    assert output.failure is None
    return output


def generated(model_dir: Path, scene: SceneOutput) -> tuple[dict, np.ndarray]:
    """The picture that the generate stage draws, and its row."""
    stage = GenerateStage(
        tiny_spec(
            model_dir,
            generate={
                "sampler": "ddim",
                "steps": 5,
                "guidance": 5.0,
                "subsets": [[1, 0]],
                "prompts": ["a photo of {handles} in the snow"],
            },
        ),
        StageContext("memory://none"),
    )
    stage.setup()
    task = SceneTask("scene0", {"handles": scene.rows}, {"safetensors": scene.files["scene0.safetensors"]})
    (output,) = stage.process([task])
    assert output.failure is None
    row = output.rows[0]
    return row, np.asarray(Image.open(io.BytesIO(output.files[row["file"]])))


def draw(pipe: StableDiffusionPipeline, row: dict) -> np.ndarray:
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    return np.asarray(
        pipe(
            row["prompt"],
            num_inference_steps=row["steps"],
            guidance_scale=row["guidance"],
            generator=torch.Generator("cpu").manual_seed(row["seed"]),
        ).images[0]
    )


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    error = ((a.astype(float) - b.astype(float)) ** 2).mean()
    return 99.0 if error == 0 else float(10 * np.log10(255**2 / error))


@pytest.mark.parametrize("targets", ["cross_kv", "attention_ff", "attention_ff_conv"])
def test_diffusers_draws_the_same_picture_loaded_and_merged(model_dir: Path, tmp_path: Path, targets: str) -> None:
    scene = trained(model_dir, tmp_path / "shared", targets)
    export_scene(scene.files["scene0.safetensors"], json.loads(scene.files["scene0.json"]), tmp_path)
    row, picture = generated(model_dir, scene)
    pipe = StableDiffusionPipeline.from_pretrained(model_dir)
    load_embeddings(pipe, tmp_path)
    handles_alone = draw(pipe, row)
    pipe.load_lora_weights(str(tmp_path), weight_name=scene_in(tmp_path).lora_file)
    assert psnr(draw(pipe, row), picture) >= 45
    assert psnr(handles_alone, picture) < 45, "the factors must matter, or the test shows nothing"
    pipe.fuse_lora()
    pipe.unload_lora_weights()
    assert not any("lora" in name for name, _ in pipe.unet.named_modules()), "merged: plain layers again"
    assert psnr(draw(pipe, row), picture) >= 45


@pytest.mark.parametrize("text_encoder", [True, False])
@pytest.mark.parametrize("targets", TARGETS)
def test_the_size_of_a_scene_s_file_is_foretold(model_dir: Path, targets: str, text_encoder: bool) -> None:
    model = SceneModel(load_base(str(model_dir), None, torch.float32, "cpu"), "<asset{index}>")
    layout = model.layout(4, text_encoder, targets)
    weights = SceneWeights(["<asset0>", "<asset1>"], torch.zeros(2, 32), layout.state(torch.zeros(layout.parameters)))
    spec = tiny_spec(model_dir, extract={"lora": {"rank": 4, "targets": targets, "text_encoder": text_encoder}})
    assert scene_cost(spec)["handle_bytes"] == pytest.approx(len(pack_scene(weights)), rel=0.02)


def test_a_scene_at_sd_2_1_size_takes_less_than_4_mb_by_default() -> None:
    """Four handles, in the true sizes of SD 2.1-base; the published code saves 5.2 GB."""
    spec = JobSpec.model_validate({"source": {"uri": "x"}, "output": "x", "models": {"base": "sd2-community/sd2"}})
    size = handle_bytes(spec, meta_unet(SD21["unet"]), SD21_TEXTS, handles=4)
    assert 2e6 < size < 4e6
    spec.extract.tuning = "full"
    assert 2.3e9 < handle_bytes(spec, meta_unet(SD21["unet"]), SD21_TEXTS) < 2.7e9

"""An exported scene in StableDiffusionPipeline draws the picture that the generate stage drew."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
    UniPCMultistepScheduler,
)
from PIL import Image
from safetensors.torch import load_file
from transformers import CLIPTextModel

from schemas.outcomes import SceneOutput, SceneTask
from stages.extract.stage import ExtractStage
from stages.generate.stage import GenerateStage
from stages.handles.diffusers_files import export_scene
from stages.handles.weights import unpack_scene
from stages.stage import StageContext
from tests.support.exported import load_embeddings, scene_in
from tests.support.tiny_models import build_tiny_model, tiny_spec, tiny_task

SCHEDULERS = {
    "dpmsolver++": DPMSolverMultistepScheduler,
    "ddim": DDIMScheduler,
    "euler": EulerDiscreteScheduler,
    "unipc": UniPCMultistepScheduler,
}
STEPS, GUIDANCE = 6, 5.0


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("tiny"), "v_prediction")


def extract(model_dir: Path, shared: Path, **settings: object) -> SceneOutput:
    spec = tiny_spec(model_dir, extract={"prior": {"weight": 0}} | settings)
    stage = ExtractStage(spec, StageContext(str(shared)))
    stage.prepare()
    stage.setup()
    (output,) = stage.process([tiny_task(0, 2)])
    assert output.failure is None
    return output


@pytest.fixture(scope="module")
def scene(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> SceneOutput:
    return extract(
        model_dir, tmp_path_factory.mktemp("shared"), phase1={"steps": 4, "lr": 0.05}, phase2={"steps": 4, "lr": 0.05}
    )


def ours(model_dir: Path, scene: SceneOutput, sampler: str) -> tuple[dict, np.ndarray]:
    spec = tiny_spec(
        model_dir,
        generate={
            "sampler": sampler,
            "steps": STEPS,
            "guidance": GUIDANCE,
            "subsets": [[1, 0]],
            "prompts": ["a photo of {handles} in the snow"],
            "negative_prompt": "a dog",
        },
    )
    stage = GenerateStage(spec, StageContext("memory://none"))
    stage.setup()
    task = SceneTask("scene0", {"handles": scene.rows}, {"safetensors": scene.files["scene0.safetensors"]})
    (output,) = stage.process([task])
    assert output.failure is None
    row = output.rows[0]
    return row, np.asarray(Image.open(io.BytesIO(output.files[row["file"]])))


def exported(scene: SceneOutput, folder: Path) -> dict:
    info = json.loads(scene.files["scene0.json"])
    export_scene(scene.files["scene0.safetensors"], info, folder)
    return info


def draw(pipe: StableDiffusionPipeline, row: dict) -> np.ndarray:
    pipe.scheduler = SCHEDULERS[row["sampler"]].from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    image = pipe(
        row["prompt"],
        negative_prompt="a dog",
        num_inference_steps=row["steps"],
        guidance_scale=row["guidance"],
        generator=torch.Generator("cpu").manual_seed(row["seed"]),
    )
    return np.asarray(image.images[0])


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    error = ((a.astype(float) - b.astype(float)) ** 2).mean()
    return 99.0 if error == 0 else float(10 * np.log10(255**2 / error))


@pytest.mark.parametrize("sampler", sorted(SCHEDULERS))
def test_lora_scene_draws_the_same_picture_in_diffusers(
    model_dir: Path, scene: SceneOutput, tmp_path: Path, sampler: str
) -> None:
    exported(scene, tmp_path)
    row, picture = ours(model_dir, scene, sampler)
    pipe = StableDiffusionPipeline.from_pretrained(model_dir)
    load_embeddings(pipe, tmp_path)
    handles_alone = draw(pipe, row)
    pipe.load_lora_weights(str(tmp_path), weight_name=scene_in(tmp_path).lora_file)
    assert psnr(draw(pipe, row), picture) >= 45
    assert psnr(handles_alone, picture) < 45, "the factors must matter, or the test shows nothing"


@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_the_readme_s_lines_run(
    model_dir: Path, scene: SceneOutput, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tuning: str
) -> None:
    exported(scene if tuning == "lora" else extract(model_dir, tmp_path / "shared", tuning="full"), tmp_path)
    readme = (tmp_path / "README.md").read_text()
    monkeypatch.chdir(tmp_path)
    code = readme.split("```python\n")[1].split("```")[0]
    exec(code.replace(").images", ", num_inference_steps=2).images"), {})
    assert Image.open("picture.png").size == (64, 64)


def test_full_scene_draws_the_same_picture_in_diffusers(model_dir: Path, tmp_path: Path) -> None:
    scene = extract(model_dir, tmp_path / "shared", tuning="full", phase2={"steps": 3, "lr": 1e-3})
    exported(scene, tmp_path / "out")
    assert not scene_in(tmp_path / "out").lora
    assert not list((tmp_path / "out").glob("*-lora.*"))
    row, picture = ours(model_dir, scene, "dpmsolver++")
    parts = {
        "unet": UNet2DConditionModel.from_pretrained(tmp_path / "out" / "unet"),
        "text_encoder": CLIPTextModel.from_pretrained(tmp_path / "out" / "text_encoder").float(),
    }
    plain = StableDiffusionPipeline.from_pretrained(model_dir)
    pipe = StableDiffusionPipeline.from_pretrained(model_dir, **parts)
    pipe.unet.float()
    for each in (plain, pipe):
        load_embeddings(each, tmp_path / "out")
    assert psnr(draw(pipe, row), picture) >= 45
    assert psnr(draw(plain, row), picture) < 45


def test_keys_and_values_of_their_own_draw_the_same_picture_by_the_readme_s_lines(
    model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = extract(model_dir, tmp_path / "shared", method="cd_m", tuning="full", phase2={"steps": 3, "lr": 2e-2})
    exported(scene, tmp_path / "out")
    row, picture = ours(model_dir, scene, "dpmsolver++")
    monkeypatch.chdir(tmp_path / "out")
    code = Path("README.md").read_text().split("```python\n")[1].split("```")[0]
    names: dict = {}
    exec(code.rsplit("\n", 2)[0], names)  # all but the line that draws
    assert psnr(draw(names["pipe"], row), picture) >= 45
    plain = StableDiffusionPipeline.from_pretrained(model_dir)
    load_embeddings(plain, tmp_path / "out")
    assert psnr(draw(plain, row), picture) < 45


def test_kohya_s_names_draw_what_peft_s_draw_to_the_last_bit(
    model_dir: Path, scene: SceneOutput, tmp_path: Path
) -> None:
    exported(scene, tmp_path)
    factors = unpack_scene(scene.files["scene0.safetensors"]).lora
    row = {"prompt": "a photo of <asset1>", "sampler": "ddim", "steps": 2, "guidance": GUIDANCE, "seed": 0}
    pictures = []
    for source in (str(tmp_path / scene_in(tmp_path).lora_file), dict(factors)):
        pipe = StableDiffusionPipeline.from_pretrained(model_dir)
        load_embeddings(pipe, tmp_path)
        plain = draw(pipe, row)
        pipe.load_lora_weights(source)
        pictures.append(draw(pipe, row))
        assert psnr(pictures[-1], plain) < 45, "the factors must matter, or the test shows nothing"
    np.testing.assert_array_equal(*pictures)


def test_exported_tensors_are_plain(scene: SceneOutput, tmp_path: Path) -> None:
    exported(scene, tmp_path)
    found = scene_in(tmp_path)
    assert found.triggers == ["scene0-object0", "scene0-object1"]
    (tmp_path / "plain").touch()
    modes = {(tmp_path / file).stat().st_mode for file in (found.lora_file, *found.embedding_files, "plain")}
    assert len(modes) == 1, "others may read them as any file"
    embedding = load_file(tmp_path / found.embedding_files[1])
    assert list(embedding) == ["emb_params"]
    torch.testing.assert_close(embedding["emb_params"], torch.tensor([scene.rows[1]["embedding"]]))
    factors = load_file(tmp_path / found.lora_file)
    assert all(name.startswith(("lora_unet_", "lora_te_")) for name in factors)
    assert {name.partition(".")[2] for name in factors} == {"lora_down.weight", "lora_up.weight", "alpha"}

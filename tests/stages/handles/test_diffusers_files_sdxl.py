"""An SDXL scene from picture to export: StableDiffusionXLPipeline draws what the generate stage drew."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from PIL import Image
from safetensors.torch import load_file
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from schemas.outcomes import SceneOutput, SceneTask
from stages.extract.method.prior import draw_prior
from stages.extract.stage import ExtractStage
from stages.generate.stage import GenerateStage
from stages.handles.cost import scene_cost
from stages.handles.diffusers_files import export_scene
from stages.handles.scene_model import SceneModel
from stages.handles.weights import pack_scene, unpack_scene
from stages.models.base.loading import load_base
from stages.stage import StageContext
from stages.streams import stream_seed
from tests.support.exported import scene_in
from tests.support.tiny_models import build_tiny_model, tiny_spec, tiny_task
from tests.support.tiny_sdxl import WIDTHS, build_tiny_sdxl, load_pipeline

SCHEDULERS = {"dpmsolver++": DPMSolverMultistepScheduler, "euler": EulerDiscreteScheduler}
STEPS, GUIDANCE = 5, 5.0
TUNED = {"phase1": {"steps": 3, "lr": 0.05}, "phase2": {"steps": 3, "lr": 0.05}, "prior": {"weight": 0}}


def extract(model_dir: Path, shared: Path, numbers: tuple[int, ...] = (0,), **settings: object) -> list[SceneOutput]:
    stage = ExtractStage(tiny_spec(model_dir, extract=TUNED | settings), StageContext(str(shared)))
    stage.prepare()
    stage.setup()
    outputs = list(stage.process([tiny_task(number, 2) for number in numbers]))
    assert [o.failure for o in outputs] == [None] * len(numbers)
    return outputs


def generate(model_dir: Path, scenes: list[SceneOutput], **settings: object) -> list[SceneOutput]:
    stage = GenerateStage(
        tiny_spec(
            model_dir,
            generate={
                "steps": STEPS,
                "guidance": GUIDANCE,
                "subsets": [[1, 0]],
                "prompts": ["a photo of {handles} in the snow"],
            }
            | settings,
        ),
        StageContext("memory://none"),
    )
    stage.setup()
    return list(
        stage.process(
            [
                SceneTask(s.scene_id, {"handles": s.rows}, {"safetensors": s.files[f"{s.scene_id}.safetensors"]})
                for s in scenes
            ]
        )
    )


def ours(model_dir: Path, scene: SceneOutput, **settings: object) -> tuple[dict, np.ndarray]:
    (output,) = generate(model_dir, [scene], **settings)
    assert output.failure is None
    row = output.rows[0]
    return row, np.asarray(Image.open(io.BytesIO(output.files[row["file"]])))


def exported(scene: SceneOutput, folder: Path) -> Path:
    export_scene(scene.files["scene0.safetensors"], json.loads(scene.files["scene0.json"]), folder)
    return folder


def load_handles(pipe: StableDiffusionXLPipeline, folder: Path) -> None:
    for i in range(2):
        state = load_file(folder / scene_in(folder).embedding_files[i])
        pipe.load_textual_inversion(
            state["clip_l"], token=f"<asset{i}>", text_encoder=pipe.text_encoder, tokenizer=pipe.tokenizer
        )
        pipe.load_textual_inversion(
            state["clip_g"], token=f"<asset{i}>", text_encoder=pipe.text_encoder_2, tokenizer=pipe.tokenizer_2
        )


def draw(pipe: StableDiffusionXLPipeline, row: dict, negative: str | None = None) -> np.ndarray:
    pipe.scheduler = SCHEDULERS[row["sampler"]].from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    image = pipe(
        row["prompt"],
        negative_prompt=negative,
        num_inference_steps=row["steps"],
        guidance_scale=row["guidance"],
        generator=torch.Generator("cpu").manual_seed(row["seed"]),
    )
    return np.asarray(image.images[0])


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    error = ((a.astype(float) - b.astype(float)) ** 2).mean()
    return 99.0 if error == 0 else float(10 * np.log10(255**2 / error))


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_sdxl(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def scenes(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> list[SceneOutput]:
    return extract(model_dir, tmp_path_factory.mktemp("shared"), (0, 1))


@pytest.fixture(scope="module")
def true_eos(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SceneOutput]:
    """With the true end token, and no zeros for an empty negative prompt."""
    directory = build_tiny_sdxl(tmp_path_factory.mktemp("true"), legacy_eos=False, zeros_for_empty=False)
    return directory, extract(directory, tmp_path_factory.mktemp("shared"))[0]


@pytest.mark.parametrize(("sampler", "negative"), [("dpmsolver++", ""), ("euler", "a dog")])
@pytest.mark.parametrize("kind", ["legacy_eos", "true_eos"])
def test_lora_scene_draws_the_same_picture_in_diffusers(
    model_dir: Path,
    scenes: list[SceneOutput],
    true_eos: tuple[Path, SceneOutput],
    tmp_path: Path,
    kind: str,
    sampler: str,
    negative: str,
) -> None:
    directory, scene = (model_dir, scenes[0]) if kind == "legacy_eos" else true_eos
    folder = exported(scene, tmp_path)
    row, picture = ours(directory, scene, sampler=sampler, negative_prompt=negative)
    pipe = load_pipeline(directory)
    plain = draw(load_pipeline(directory), row, negative or None)
    load_handles(pipe, folder)
    handles_alone = draw(pipe, row, negative or None)
    factors = load_file(folder / scene_in(folder).lora_file)
    pipe.load_lora_weights(
        {name: t for name, t in factors.items() if not name.startswith("lora_te2_")}, adapter_name="part"
    )
    without_second = draw(pipe, row, negative or None)
    pipe.unload_lora_weights()
    pipe.load_lora_weights(str(folder), weight_name=scene_in(folder).lora_file)
    assert psnr(draw(pipe, row, negative or None), picture) >= 45
    assert psnr(plain, picture) < 45
    assert psnr(handles_alone, picture) < 45, "the factors must matter, or the test shows nothing"
    assert psnr(without_second, picture) < 45, "those of the second text encoder too"


def test_an_empty_negative_prompt_is_what_the_base_says(
    model_dir: Path, scenes: list[SceneOutput], tmp_path: Path
) -> None:
    """The zeros and the empty text must differ, or the comparisons above would not tell them apart."""
    folder = exported(scenes[0], tmp_path)
    row, picture = ours(model_dir, scenes[0])
    pipe = load_pipeline(model_dir)
    load_handles(pipe, folder)
    pipe.load_lora_weights(str(folder), weight_name=scene_in(folder).lora_file)
    assert psnr(draw(pipe, row, None), picture) >= 45
    assert psnr(draw(pipe, row, ""), picture) < 45


@pytest.mark.parametrize("zeros", [True, False])
def test_the_prior_set_is_the_pipeline_s(tmp_path: Path, zeros: bool) -> None:
    directory = build_tiny_sdxl(tmp_path / "tiny", zeros_for_empty=zeros)
    settings = tiny_spec(directory).extract.prior
    mine = draw_prior(SceneModel(load_base(str(directory), None, torch.float32, "cpu"), "<asset{index}>"), settings, 3)
    pipe = load_pipeline(directory)
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
    for number in range(settings.images):
        seed = stream_seed(3, "prior", str(number))
        latents = pipe(
            settings.prompt,
            num_inference_steps=settings.steps,
            guidance_scale=settings.guidance,
            generator=torch.Generator("cpu").manual_seed(seed),
            output_type="latent",
        ).images
        torch.testing.assert_close(mine[number : number + 1], latents, rtol=1e-3, atol=1e-3)


def test_full_scene_draws_the_same_picture_in_diffusers(model_dir: Path, tmp_path: Path) -> None:
    (scene,) = extract(model_dir, tmp_path / "shared", tuning="full", phase2={"steps": 3, "lr": 1e-2})
    folder = exported(scene, tmp_path / "out")
    assert not scene_in(folder).lora
    assert not list(folder.glob("*-lora.*"))
    row, picture = ours(model_dir, scene)
    parts = {
        "unet": UNet2DConditionModel.from_pretrained(folder / "unet"),
        "text_encoder": CLIPTextModel.from_pretrained(folder / "text_encoder"),
        "text_encoder_2": CLIPTextModelWithProjection.from_pretrained(folder / "text_encoder_2"),
    }
    parts = {name: part.float() for name, part in parts.items()}
    for left_out in (None, *parts):
        chosen = {name: part for name, part in parts.items() if name != left_out}
        pipe = load_pipeline(model_dir, **chosen)
        load_handles(pipe, folder)
        assert (psnr(draw(pipe, row), picture) >= 45) == (left_out is None), left_out
        for tokenizer, encoder in ((pipe.tokenizer, pipe.text_encoder), (pipe.tokenizer_2, pipe.text_encoder_2)):
            encoder.resize_token_embeddings(len(tokenizer) - 2)  # the parts are used again


@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_the_readme_s_lines_run(
    model_dir: Path, scenes: list[SceneOutput], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tuning: str
) -> None:
    scene = scenes[0] if tuning == "lora" else extract(model_dir, tmp_path / "shared", tuning="full")[0]
    readme = (exported(scene, tmp_path / "out") / "README.md").read_text()
    row, picture = ours(
        model_dir, scene, prompts=["a photo of {handles} at the beach"], subsets=[[0, 1]], sampler="euler"
    )
    monkeypatch.chdir(tmp_path / "out")
    code = readme.split("```python\n")[1].split("```")[0]
    call = (
        f'", num_inference_steps={STEPS}, guidance_scale={GUIDANCE}, '
        f'generator=__import__("torch").Generator("cpu").manual_seed({row["seed"]})).images'
    )
    exec(code.replace('").images', call), {})
    assert psnr(np.asarray(Image.open("picture.png")), picture) >= 45


def test_a_picture_is_the_same_alone_and_in_a_mixed_batch(model_dir: Path, scenes: list[SceneOutput]) -> None:
    mixed = generate(model_dir, scenes, batch=8, images_per_prompt=2, negative_prompt="a dog")
    alone = generate(model_dir, scenes[1:], batch=1, images_per_prompt=2, negative_prompt="a dog")
    for row, other in zip(mixed[1].rows, alone[0].rows, strict=True):
        one, two = (
            np.asarray(Image.open(io.BytesIO(o.files[r["file"]]))).astype(int)
            for o, r in ((mixed[1], row), (alone[0], other))
        )
        assert abs(one - two).max() <= 1


@pytest.mark.parametrize(("dtype", "text_encoder"), [("bfloat16", True), ("float16", False)])
def test_low_precision_learns_nearly_the_same(model_dir: Path, tmp_path: Path, dtype: str, text_encoder: bool) -> None:
    losses = []
    for name in ("float32", dtype):
        settings = {"lora": {"rank": 4, "text_encoder": text_encoder}, "gradient_checkpointing": name == dtype}
        spec = tiny_spec(model_dir, extract=settings)
        spec.models.dtype = name
        stage = ExtractStage(spec, StageContext(str(tmp_path)))
        stage.prepare()
        stage.setup()
        (output,) = stage.process([tiny_task(0, 2)])
        assert output.failure is None
        losses.append([output.rows[0][f"{term}_loss"] for term in ("diffusion", "attention", "prior")])
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    assert losses[0] != losses[1]


def test_exported_tensors_and_the_size_foretold(model_dir: Path, scenes: list[SceneOutput], tmp_path: Path) -> None:
    scene = scenes[0]
    folder = exported(scene, tmp_path)
    embedding = load_file(folder / scene_in(folder).embedding_files[1])
    assert {name: tuple(t.shape) for name, t in embedding.items()} == {
        "clip_l": (1, WIDTHS[0]),
        "clip_g": (1, WIDTHS[1]),
    }
    whole = torch.cat([embedding["clip_l"], embedding["clip_g"]], dim=1)[0]
    torch.testing.assert_close(whole, torch.tensor(scene.rows[1]["embedding"]))
    weights = unpack_scene(scene.files["scene0.safetensors"])
    assert weights.widths == WIDTHS
    assert {name.split("_")[1] for name in load_file(folder / scene_in(folder).lora_file)} == {"unet", "te1", "te2"}
    foretold = scene_cost(tiny_spec(model_dir, extract=TUNED))["handle_bytes"]
    assert foretold == pytest.approx(len(scene.files["scene0.safetensors"]), rel=0.02)


def test_the_size_of_a_full_scene_is_foretold(model_dir: Path, tmp_path: Path) -> None:
    (scene,) = extract(model_dir, tmp_path, tuning="full")
    spec = tiny_spec(model_dir, extract=TUNED | {"tuning": "full"})
    tensors = unpack_scene(scene.files["scene0.safetensors"])
    stored = tensors.handles.numel() * 4 + sum(t.numel() * 2 for t in tensors.full.values())
    assert scene_cost(spec)["handle_bytes"] == pytest.approx(stored, rel=0.03)


def test_a_scene_of_another_base_is_one_failure(model_dir: Path, scenes: list[SceneOutput], tmp_path: Path) -> None:
    plain = build_tiny_model(tmp_path / "sd")
    (stranger,) = extract(plain, tmp_path)
    (output,) = generate(model_dir, [stranger])
    assert output.failure is not None
    assert "hold 2 x 32 handle rows, 2 x 32 + 48 are needed" in output.failure.message
    (output,) = generate(plain, scenes[:1])
    assert output.failure is not None
    assert "another base model" in output.failure.message
    weights = unpack_scene(scenes[0].files["scene0.safetensors"])
    weights.widths = WIDTHS[::-1]
    swapped = replace(scenes[0], files={"scene0.safetensors": pack_scene(weights)})
    (output,) = generate(model_dir, [swapped])
    assert output.failure is not None
    assert "hold 2 x 48 + 32 handle rows, 2 x 32 + 48 are needed" in output.failure.message

"""The lines of an export's README, run as they stand, for every kind of base: they run, they draw the picture that the
generate stage drew, and two scenes in one pipeline leave each other alone."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from PIL import Image
from transformers import CLIPTextModel

from schemas.outcomes import SceneOutput, SceneTask
from stages.extract.stage import ExtractStage
from stages.generate.stage import GenerateStage
from stages.handles.diffusers_files import export_scene
from stages.handles.diffusers_readme import scene_readme, scenes_readme
from stages.handles.exported_scene import ExportedScene, read_exported
from stages.handles.weights import SceneWeights, pack_scene, unpack_scene
from stages.stage import StageContext
from tests.support.readme_lines import code_of, run_lines
from tests.support.tiny_models import build_tiny_model, tiny_spec, tiny_task
from tests.support.tiny_sdxl import build_tiny_sdxl

BASES = ["sd", "sd_half", "sdxl", "seedling"]
STEPS, GUIDANCE = 4, 5.0
TUNED = {"phase1": {"steps": 3, "lr": 0.05}, "phase2": {"steps": 3, "lr": 0.02}, "prior": {"weight": 0}}


def side_of(base: str) -> int:
    """Pixels a side of its pictures."""
    return 128 if base == "seedling" else 64


@dataclass(frozen=True)
class Exports:
    """Two scenes of one base, as the stages made them and as they lie in `folder`, a folder each."""

    base: str
    folder: Path
    scenes: list[SceneOutput]

    def of(self, number: int) -> ExportedScene:
        found = read_exported(self.folder / f"scene{number}")
        assert found is not None
        return found


def build(kind: str, folder: Path) -> str:
    if kind == "seedling":
        return kind
    if kind == "sdxl":
        return str(build_tiny_sdxl(folder))
    directory = build_tiny_model(folder, "v_prediction")
    if kind == "sd_half":  # as half of the world's bases are stored
        UNet2DConditionModel.from_pretrained(directory / "unet").half().save_pretrained(directory / "unet")
        CLIPTextModel.from_pretrained(directory / "text_encoder").half().save_pretrained(directory / "text_encoder")
    return str(directory)


@pytest.fixture(scope="module", params=BASES)
def exports(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exports:
    base, shared = build(request.param, tmp_path_factory.mktemp("base")), tmp_path_factory.mktemp("shared")
    stage = ExtractStage(tiny_spec(base, extract=TUNED), StageContext(str(shared)))
    stage.prepare()
    stage.setup()
    scenes = list(stage.process([tiny_task(number, 2, side_of(base)) for number in range(2)]))
    folder = tmp_path_factory.mktemp("exports")
    for scene in scenes:
        assert scene.failure is None
        name = scene.scene_id
        export_scene(scene.files[f"{name}.safetensors"], json.loads(scene.files[f"{name}.json"]), folder / name)
    return Exports(base, folder, scenes)


def ours(exports: Exports, number: int) -> tuple[dict[str, Any], np.ndarray]:
    """A row of the generate stage and its picture."""
    scene = exports.scenes[number]
    spec = tiny_spec(
        exports.base,
        generate={
            "steps": STEPS,
            "guidance": GUIDANCE,
            "subsets": [[1, 0]],
            "prompts": ["a photo of {handles} in the snow"],
            "negative_prompt": "a dog",
        },
    )
    stage = GenerateStage(spec, StageContext("memory://none"))
    stage.setup()
    files = {"safetensors": scene.files[f"{scene.scene_id}.safetensors"]}
    (output,) = stage.process([SceneTask(scene.scene_id, {"handles": scene.rows}, files)])
    assert output.failure is None
    row = output.rows[0]
    return row, np.asarray(Image.open(io.BytesIO(output.files[row["file"]])))


def draw(pipe: Any, row: dict[str, Any], prompt: str) -> np.ndarray:
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    image = pipe(
        prompt,
        negative_prompt="a dog",
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE,
        generator=torch.Generator("cpu").manual_seed(row["seed"]),
        output_type="np",
    )
    return np.asarray(image.images[0])


def psnr(drawn: np.ndarray, picture: np.ndarray) -> float:
    error = ((np.round(drawn.astype(float) * 255) - picture.astype(float)) ** 2).mean()
    return 99.0 if error == 0 else float(10 * np.log10(255**2 / error))


def renamed(prompt: str, scene: ExportedScene) -> str:
    """The prompt with the names that the scene's handles have beside other scenes."""
    for token, shared in zip(scene.tokens, scene.shared_tokens, strict=True):
        prompt = prompt.replace(token, shared)
    return prompt


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The README leaves the number of steps to the pipeline, which makes fifty."""
    for kind in (StableDiffusionPipeline, StableDiffusionXLPipeline):

        def call(pipe: Any, prompt: str, whole: Any = kind.__call__, **asked: Any) -> Any:
            return whole(pipe, prompt, **{"num_inference_steps": 2} | asked)

        monkeypatch.setattr(kind, "__call__", call)


def test_the_lines_run_as_they_stand(exports: Exports, few_steps: None) -> None:
    folder = exports.folder / "scene0"
    names: dict[str, Any] = {}
    run_lines(code_of(folder), folder, names)
    parts = {name: part.dtype for name, part in names["pipe"].components.items() if isinstance(part, torch.nn.Module)}
    assert set(parts.values()) == {torch.float32}
    assert Image.open(folder / "picture.png").size == (side_of(exports.base),) * 2
    other = exports.folder / "scene1"
    run_lines(code_of(other, 1), other, names)
    assert Image.open(other / "picture-scene1.png").size == (side_of(exports.base),) * 2


def test_two_scenes_in_one_pipeline_leave_each_other_alone(exports: Exports) -> None:
    (row, picture), (row_1, picture_1) = ours(exports, 0), ours(exports, 1)
    folder, other = exports.folder / "scene0", exports.folder / "scene1"
    names: dict[str, Any] = {}
    run_lines(code_of(folder), folder, names, drawing=False)
    pipe = names["pipe"]
    alone = draw(pipe, row, row["prompt"])
    assert psnr(alone, picture) >= 45
    run_lines(code_of(other, 1), other, names, drawing=False)
    beside = draw(pipe, row_1, renamed(row_1["prompt"], exports.of(1)))
    assert psnr(beside, picture_1) >= 45
    both = draw(pipe, row, row["prompt"])
    assert psnr(both, picture) < 45, "the factors must matter, or the test shows nothing"
    pipe.set_adapters("scene0")
    np.testing.assert_array_equal(draw(pipe, row, row["prompt"]), alone)
    swapped = draw(pipe, row, renamed(row["prompt"], exports.of(1)))
    assert psnr(swapped, picture) < 45, "the handles must matter, or the test shows nothing"
    pipe.set_adapters(["scene0", "scene1"])
    assert pipe.get_active_adapters() == ["scene0", "scene1"]


def test_the_lines_for_a_folder_of_scenes(exports: Exports, few_steps: None) -> None:
    scenes = [exports.of(0), exports.of(1)]
    text = scenes_readme(scenes, [("scene0", "a|b.jpg"), ("scene1", "birds.jpg")], 3)
    (exports.folder / "README.md").write_text(text, encoding="utf-8")
    assert "| `scene0` | a\\|b.jpg |" in text
    assert "and 1 more, not listed here." in text
    names: dict[str, Any] = {}
    run_lines(code_of(exports.folder), exports.folder, names)
    for number in range(2):
        assert Image.open(exports.folder / f"scene{number}.png").size == (side_of(exports.base),) * 2
        names["pipe"].set_adapters(f"scene{number}")
        row, picture = ours(exports, number)
        assert psnr(draw(names["pipe"], row, renamed(row["prompt"], scenes[number])), picture) >= 45


def test_the_base_is_named_so_that_the_lines_find_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_tiny_model(tmp_path / 'the model’s 🏖 "base"')
    index = tmp_path / 'the model’s 🏖 "base"' / "model_index.json"
    kept = {"safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"]}
    index.write_text(json.dumps(json.loads(index.read_text()) | kept))  # which nothing here needs, and nobody copied
    monkeypatch.chdir(tmp_path)
    stage = ExtractStage(tiny_spec('the model’s 🏖 "base"', extract=TUNED), StageContext(str(tmp_path / "shared")))
    stage.prepare()
    stage.setup()
    (scene,) = stage.process([tiny_task(0, 1)])
    export_scene(scene.files["scene0.safetensors"], json.loads(scene.files["scene0.json"]), tmp_path / "far" / "out")
    names: dict[str, Any] = {}
    run_lines(code_of(tmp_path / "far" / "out"), tmp_path / "far" / "out", names, drawing=False)
    assert names["pipe"].get_active_adapters() == ["scene0"]


def test_a_base_of_the_hub_is_named_by_its_id_and_revision() -> None:
    odd = ExportedScene("5c3e0000", "base", "/base", None, ['"sks_0'], ["a|b <i>"])
    assert odd.shared_tokens == ['<"sks_0-5c3e0000>']
    assert 'pipe("a photo of \\"sks_0 at the beach")' in scene_readme(odd)
    assert "| a\\|b &lt;i> |" in scene_readme(odd)
    xl = "stabilityai/stable-diffusion-xl-base-1.0"
    scene = ExportedScene("5c3e0000", xl, xl, "main", ["<asset0>"], ["cat"], 2)
    text = scene_readme(scene)
    assert (
        'StableDiffusionXLPipeline.from_pretrained("stabilityai/stable-diffusion-xl-base-1.0", revision="main")' in text
    )
    assert "for part in (pipe.unet, pipe.vae, pipe.text_encoder, pipe.text_encoder_2):" in text
    assert 'pipe("a photo of <asset0-5c3e0000> at the beach")' in text


def test_an_export_takes_away_what_an_earlier_one_left(exports: Exports, tmp_path: Path) -> None:
    """And a scene without factors draws without another's."""
    files = exports.scenes[1].files
    info = json.loads(files["scene1.json"])
    export_scene(files["scene1.safetensors"], info, tmp_path, made_of="two handles and factors")
    (tmp_path / "mine.txt").touch()
    whole = unpack_scene(files["scene1.safetensors"])
    bare = SceneWeights(whole.tokens[:1], whole.handles[:1], widths=whole.widths)
    export_scene(pack_scene(bare), info | {"init_words": ["cat"]}, tmp_path, made_of="one handle")
    found = read_exported(tmp_path)
    assert found is not None
    assert (found.made_of, found.lora) == ("one handle", False)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "README.md",
        "mine.txt",
        "scene.json",
        "scene1-cat0.safetensors",
    ]
    names: dict[str, Any] = {}
    run_lines(code_of(exports.folder / "scene0"), exports.folder / "scene0", names, drawing=False)
    run_lines(code_of(tmp_path, 1), tmp_path, names, drawing=False)
    row, picture = ours(exports, 0)
    assert psnr(draw(names["pipe"], row, row["prompt"]), picture) < 45
    names["pipe"].enable_lora()
    assert psnr(draw(names["pipe"], row, row["prompt"]), picture) >= 45
    (tmp_path / found.embedding_files[0]).unlink()
    assert read_exported(tmp_path) is None

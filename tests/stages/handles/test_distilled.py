"""Step-distilled factors under a base's weights: the same numbers as diffusers' own loader, by every kind of name, and
one sentence where they do not fit."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from schemas.errors import SpecError
from schemas.fingerprint import result_fields
from schemas.job import Generate, JobSpec
from schemas.outcomes import SceneTask
from stages.generate.stage import GenerateStage
from stages.handles.cost import meta_unet
from stages.handles.lora.distilled import known_layers, lay_under
from stages.handles.lora.kohya import stability_name
from stages.handles.weights import SceneWeights, pack_scene
from stages.models.base.base_model import BaseModel
from stages.models.base.loading import load_base
from stages.models.distilled import check_distilled, distilled_content
from stages.stage import StageContext
from tests.support.ldm_names import ldm_names
from tests.support.tiny_models import build_tiny_model, tiny_spec
from tests.support.tiny_sdxl import build_tiny_sdxl

RANK, ALPHA = 3, 6.0
ENDS = ("to_k", "to_out.0", "proj_in", "conv1", "time_emb_proj", "ff.net.0.proj", "downsamplers.0.conv", "conv_in")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bases")
    return {"sd": build_tiny_model(folder / "sd"), "sdxl": build_tiny_sdxl(folder / "sdxl")}


def loaded(folder: Path) -> BaseModel:
    return load_base(str(folder), None, torch.float32, "cpu")


def factors(unet: nn.Module) -> dict[str, tuple[Tensor, Tensor]]:
    """Layer -> down and up, of the kinds of layers that LCM-LoRA changes."""
    generator, found = torch.Generator().manual_seed(0), {}
    for name, layer in unet.named_modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)) and name.endswith(ENDS):
            shape = layer.weight.shape
            down = torch.randn(RANK, *shape[1:], generator=generator)
            up = torch.randn(shape[0], RANK, *(1 for _ in shape[2:]), generator=generator)
            found[name] = (down, up)
    return found


def kohya(name: str) -> str:
    return f"lora_unet_{name.replace('.', '_')}"


WAYS: dict[str, tuple[str, str, str, bool]] = {
    "kohya": ("{kohya}", "lora_down.weight", "lora_up.weight", True),
    "diffusers": ("unet.{name}", "lora.down.weight", "lora.up.weight", False),
    "peft": ("unet.{name}", "lora_A.weight", "lora_B.weight", False),
}


def written(made: dict[str, tuple[Tensor, Tensor]], way: str, file: Path) -> Path:
    form, down, up, alpha = WAYS[way]
    state: dict[str, Tensor] = {}
    for name, pair in made.items():
        called = form.format(name=name, kohya=kohya(name))
        state |= {f"{called}.{down}": pair[0], f"{called}.{up}": pair[1]}
        if alpha:
            state[f"{called}.alpha"] = torch.tensor(ALPHA)
    save_file(state, file)
    return file


@pytest.mark.parametrize("kind", ["sd", "sdxl"])
@pytest.mark.parametrize("way", WAYS)
def test_weights_are_the_sum(folders: dict[str, Path], tmp_path: Path, kind: str, way: str) -> None:
    base, plain = loaded(folders[kind]), loaded(folders[kind])
    made = factors(base.unet)
    assert lay_under(base, written(made, way, tmp_path / "lcm.safetensors"), "lcm") == len(made) > 8
    scale = ALPHA / RANK if way == "kohya" else 1.0
    before = dict(plain.unet.named_parameters())
    for name, weight in base.unet.named_parameters():
        down, up = made.get(name.removesuffix(".weight"), (None, None))
        change = 0.0 if down is None or up is None else (up.flatten(1) @ down.flatten(1)).reshape(weight.shape)
        torch.testing.assert_close(weight, before[name] + scale * change)


SETTINGS = {"r": RANK, "lora_alpha": 12, "alpha_pattern": {"to_k": 3}, "rank_pattern": {}}


@pytest.mark.parametrize("rslora", [False, True])
@pytest.mark.parametrize("where", ["header", "config"])
def test_an_alpha_that_is_said_beside_the_factors_counts(
    folders: dict[str, Path], tmp_path: Path, where: str, rslora: bool
) -> None:
    """diffusers says it in the file's header, PEFT in a file beside it."""
    base, plain = loaded(folders["sd"]), loaded(folders["sd"])
    made, settings = factors(base.unet), SETTINGS | {"use_rslora": rslora}
    file = written(made, "peft", tmp_path / "adapter_model.safetensors")
    if where == "header":
        header = {"lora_adapter_metadata": json.dumps({f"unet.{key}": value for key, value in settings.items()})}
        save_file(load_file(file), file, metadata=header)
    else:
        (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
    lay_under(base, file, "lcm")
    before = dict(plain.unet.named_parameters())
    for name, (down, up) in made.items():
        scale = (3 if name.endswith("to_k") else 12) / (RANK**0.5 if rslora else RANK)
        weight = base.unet.get_submodule(name).weight
        change = (up.flatten(1) @ down.flatten(1)).reshape(weight.shape)
        torch.testing.assert_close(weight, before[f"{name}.weight"] + scale * change)


def test_diffusers_own_file_is_as_strong_as_its_loader_has_it(folders: dict[str, Path], tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline
    from diffusers.training_utils import _collate_lora_metadata
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    pipe = StableDiffusionPipeline.from_pretrained(folders["sd"], safety_checker=None)
    pipe.unet.add_adapter(LoraConfig(r=4, lora_alpha=16, target_modules=["to_k", "conv1"], init_lora_weights=False))
    said = _collate_lora_metadata({"unet": pipe.unet})
    pipe.save_lora_weights(tmp_path, unet_lora_layers=get_peft_model_state_dict(pipe.unet), **said)
    theirs = StableDiffusionPipeline.from_pretrained(folders["sd"], safety_checker=None)
    theirs.load_lora_weights(tmp_path)
    theirs.fuse_lora()
    theirs.unload_lora_weights()
    ours = loaded(folders["sd"])
    lay_under(ours, tmp_path / "pytorch_lora_weights.safetensors", "lcm")
    wanted = dict(theirs.unet.named_parameters())
    for name, weight in ours.unet.named_parameters():
        torch.testing.assert_close(weight, wanted[name])


@pytest.mark.parametrize(
    ("said", "told"), [("{", "does not say how strong"), ('{"unet.r": 4}', "lora_alpha"), ("DORA", "is DoRA")]
)
def test_a_strength_that_cannot_be_read_is_refused(
    folders: dict[str, Path], tmp_path: Path, said: str, told: str
) -> None:
    base = loaded(folders["sd"])
    file = written(factors(base.unet), "peft", tmp_path / "lcm.safetensors")
    dora = json.dumps({"unet.r": 4, "unet.lora_alpha": 4, "unet.use_dora": True})
    save_file(load_file(file), file, metadata={"lora_adapter_metadata": dora if said == "DORA" else said})
    with pytest.raises(SpecError, match=told):
        lay_under(base, file, "lcm")


def test_diffusers_own_loader_comes_to_the_same(folders: dict[str, Path], tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline

    base = loaded(folders["sd"])
    made = {name: pair for name, pair in factors(base.unet).items() if "attn" in name}
    file = written(made, "kohya", tmp_path / "lcm.safetensors")
    lay_under(base, file, "lcm")
    pipe = StableDiffusionPipeline.from_pretrained(folders["sd"], safety_checker=None)
    pipe.load_lora_weights(file)
    pipe.fuse_lora()
    pipe.unload_lora_weights()
    theirs = dict(pipe.unet.named_parameters())
    for name, weight in base.unet.named_parameters():
        torch.testing.assert_close(weight, theirs[name])


def test_stabilitys_names_are_known_of_all_of_sdxls_layers() -> None:
    from benchmarks.models import SDXL

    config = {**SDXL["unet"], "block_out_channels": (32, 64, 128), "transformer_layers_per_block": 1}
    unet = meta_unet({**config, "attention_head_dim": 8})
    layers = [name for name, m in unet.named_modules() if isinstance(m, (nn.Linear, nn.Conv2d))]
    by_counting = {n: k for n, k in ldm_names(config, layers).items() if not n.startswith(("conv", "time_e", "add_e"))}
    assert {name: stability_name(name) for name in by_counting} == by_counting
    known = known_layers(unet)
    assert all(known[kohya(name)] is unet.get_submodule(name) for name in layers)
    assert known["lora_unet_input_blocks_4_1_proj_in"] is unet.get_submodule("down_blocks.1.attentions.0.proj_in")
    assert known["lora_unet_time_embed_0"] is unet.get_submodule("time_embedding.linear_1")


REFUSED: dict[str, tuple[Any, str]] = {
    "another base": (
        lambda s: {k: (v[:, :-1] if "to_k.lora_A" in k else v) for k, v in s.items()},
        r"reads texts of width 31 \(.*attn2\.to_k\), and models\.base has 32: it is of another base; name one",
    ),
    "a name that no layer has": (
        lambda s: s | {"unet.nowhere.lora_A.weight": torch.ones(3, 4), "unet.nowhere.lora_B.weight": torch.ones(4, 3)},
        r"changes unet\.nowhere, a layer that models\.base does not have: it is of another base; name one",
    ),
    "another shape": (
        lambda s: s | {"unet.conv_in.lora_A.weight": torch.ones(3, 5, 3, 3)},
        r"has unet\.conv_in for a layer of 16 x 5, and that of models\.base is 16 x 4: it is of another base; name",
    ),
    "half of a pair": (
        lambda s: {k: v for k, v in s.items() if k != "unet.conv_in.lora_B.weight"},
        r"has no factor up for unet\.conv_in; copy the file again",
    ),
    "a text encoder": (
        lambda s: s | {"text_encoder.x.lora_A.weight": torch.ones(3, 4)},
        r"changes the text encoder too \(text_encoder\.x\.lora_A\.weight\), where the handles lie; name one of",
    ),
    "whole weights": (
        lambda s: {"conv_in.weight": torch.ones(3)},
        r"holds conv_in\.weight, which is no factor of a LoRA",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused_in_one_sentence(folders: dict[str, Path], tmp_path: Path, name: str) -> None:
    spoil, sentence = REFUSED[name]
    base = loaded(folders["sd"])
    file = tmp_path / "lcm.safetensors"
    form = {
        f"unet.{layer}.lora_{'AB'[i]}.weight": pair[i] for layer, pair in factors(base.unet).items() for i in (0, 1)
    }
    save_file({key: value.contiguous() for key, value in spoil(form).items()}, file)
    spec = tiny_spec(folders["sd"], generate={"accelerate": str(file)})
    with pytest.raises(SpecError, match=rf"^generate\.accelerate: {re.escape(str(file))} {sentence}") as caught:
        check_distilled(spec)
        lay_under(base, file, str(file))
    assert "\n" not in str(caught.value)


def test_where_it_may_be(folders: dict[str, Path], tmp_path: Path) -> None:
    spec = tiny_spec(folders["sd"], generate={"accelerate": str(tmp_path / "lcm.safetensors")})
    with pytest.raises(SpecError, match=r"^generate\.accelerate: there is no file .*lcm\.safetensors; give the"):
        check_distilled(spec)
    file = written(factors(loaded(folders["sd"]).unet), "peft", tmp_path / "lcm.safetensors")
    check_distilled(spec)
    assert distilled_content(str(file)) == distilled_content(str(tmp_path)), "a folder with one file is the file"
    (tmp_path / "other.safetensors").write_bytes(b"")
    with pytest.raises(SpecError, match=r"holds 2 \.safetensors files; name the one that is meant$"):
        distilled_content(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "sampler"),
    [
        ("latent-consistency/lcm-lora-sdv1-5", "lcm"),
        ("/m/Hyper-SD15-4steps-lora.safetensors", "ddim_trailing"),
        ("/m/TCD-SD15-LoRA/pytorch_lora_weights.safetensors", "tcd"),
        ("/m/sdxl_lightning_4step_lora.safetensors", "euler_trailing"),
        ("/m/dmd2_sdxl_4step_lora_fp16.safetensors", "lcm"),
    ],
)
def test_what_the_spec_leaves_open_is_as_it_was_distilled(name: str, sampler: str) -> None:
    found = Generate(accelerate=name)
    assert (found.sampler, found.steps, found.guidance) == (sampler, 4, 0.0)
    said = Generate(accelerate=name, sampler="ddim", steps=8, guidance=2.0)
    assert (said.sampler, said.steps, said.guidance) == ("ddim", 8, 2.0)


def test_a_kind_that_nothing_tells_is_asked_for() -> None:
    with pytest.raises(
        ValueError, match=r"generate\.accelerate: nothing in mine\.safetensors tells how it is sampled; set"
    ):
        Generate(accelerate="mine.safetensors")


def test_pictures_are_drawn_with_it(folders: dict[str, Path], tmp_path: Path) -> None:
    """And are refused of a scene whose own weights would stand in its place."""
    file = written(factors(loaded(folders["sd"]).unet), "kohya", tmp_path / "lcm.safetensors")
    weights = SceneWeights(["<asset0>"], torch.zeros(1, 32), widths=(32,))
    rows = [{"scene_id": "s", "index": 0, "token": "<asset0>", "word": "cat"}]

    def drawn(own: SceneWeights, **settings: Any) -> Any:
        asked = {
            "prompts": ["a photo of {handles}"],
            "images_per_prompt": 1,
            "sampler": "lcm",
            "steps": 2,
            "guidance": 0,
        }
        stage = GenerateStage(tiny_spec(folders["sd"], generate=asked | settings), StageContext("memory://none"))
        stage.setup()
        (output,) = stage.process([SceneTask("s", {"handles": rows}, {"safetensors": pack_scene(own)})])
        return output

    plain, faster = drawn(weights), drawn(weights, accelerate=str(file))
    assert faster.failure is None, faster.failure
    assert faster.files != plain.files
    full = replace(weights, full={"unet.conv_in.bias": torch.zeros(16)})
    assert "has weights of its own in the place of the base's" in drawn(full, accelerate=str(file)).failure.message


def test_it_is_part_of_the_run(tmp_path: Path) -> None:
    spec = JobSpec.model_validate({"source": {"uri": "/p"}, "output": "/o", "generate": {"accelerate": "/m/lcm.st"}})
    assert result_fields(spec, {"generate.accelerate": "sha"})["generate.accelerate"] == "sha"
    with pytest.raises(ValueError, match=r"generate\.accelerate is laid under a scene's factors, and extract\.tuning"):
        JobSpec.model_validate({**spec.model_dump(), "extract": {"tuning": "full"}})

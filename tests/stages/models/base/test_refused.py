"""Bases as people have them on disk: read whole, or refused in one sentence, when loaded and before anything starts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import Tensor

from schemas.errors import SpecError
from stages.handles.tokens import HandleTokens
from stages.models.base.loading import load_base
from stages.models.check import check_models
from tests.support.tiny_models import build_tiny_model, build_tokenizer, tiny_spec
from tests.support.tiny_sdxl import build_tiny_sdxl

UNET, VAE = "unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors"
TEXT, SECOND = "text_encoder/model.safetensors", "text_encoder_2/model.safetensors"
Weights = dict[str, Tensor]
Fault = Callable[[Path], object]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("bases") / "plain")


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_sdxl(tmp_path_factory.mktemp("bases") / "sdxl")


def weights(file: str, change: Callable[[Weights], Weights]) -> Fault:
    def fault(folder: Path) -> None:
        found = {name: value.contiguous() for name, value in change(load_file(folder / file)).items()}
        save_file(found, folder / file, {"format": "pt"})

    return fault


def config(file: str, *drop: str, **fields: Any) -> Fault:
    def fault(folder: Path) -> None:
        content = json.loads((folder / file).read_text()) | fields
        (folder / file).write_text(json.dumps({key: value for key, value in content.items() if key not in drop}))

    return fault


def scheduler(kind: str, *drop: str, **fields: Any) -> Fault:
    return config("scheduler/scheduler_config.json", *drop, _class_name=kind, **fields)


def remade(kind: Any, part: str, **changes: Any) -> Fault:
    def fault(folder: Path) -> None:
        kind.from_config(kind.load_config(folder, subfolder=part), **changes).save_pretrained(folder / part)

    return fault


def tiny_vae(folder: Path) -> None:
    shutil.rmtree(folder / "vae")
    blocks = {"encoder_block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8)}
    numbers = {"num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1)}
    AutoencoderTiny(**blocks, **numbers).save_pretrained(folder / "vae")


def renamed(part: str, old: str, new: str) -> Fault:
    return lambda folder: (folder / part / old).rename(folder / part / new)


def cut(file: str) -> Fault:
    return lambda folder: (folder / file).write_bytes((folder / file).read_bytes()[:-100])


def twice(folder: Path) -> None:
    places = dict.fromkeys(load_file(folder / TEXT), "model-00001-of-00001.safetensors")
    index = {"metadata": {"total_size": 1}, "weight_map": places}
    (folder / "text_encoder" / "model.safetensors.index.json").write_text(json.dumps(index))
    shutil.copy(folder / TEXT, folder / "text_encoder" / "model-00001-of-00001.safetensors")


def shard_lost(folder: Path) -> None:
    twice(folder)
    (folder / TEXT).unlink()
    (folder / "text_encoder" / "model-00001-of-00001.safetensors").unlink()


def longer_words(folder: Path) -> None:
    words = build_tokenizer()
    words.add_tokens(["<sks>"])
    words.save_pretrained(folder / "tokenizer")


def without(text: str) -> Callable[[Weights], Weights]:
    return lambda found: {name: value for name, value in found.items() if text not in name}


PEFT = {
    "the text encoder of a PEFT model": (TEXT, "v_proj.", "v_proj.base_layer.", "text_encoder"),
    "the UNet of a PEFT model": (UNET, "attn2.to_k.weight", "attn2.to_k.base_layer.weight", "unet"),
}
FAULTS: dict[str, tuple[Fault, str]] = {
    **{
        name: (
            weights(file, lambda found, old=old, new=new: {k.replace(old, new): v for k, v in found.items()}),
            rf"the {part} of .* holds an adapter that was not merged \(.*base_layer.* and \d+ more\); merge it",
        )
        for name, (file, old, new, part) in PEFT.items()
    },
    "an adapter beside whole weights": (
        weights(UNET, lambda found: found | {"conv_in.lora_A.weight": torch.zeros(4, 4)}),
        r"the unet of .* holds an adapter that was not merged \(conv_in\.lora_A\.weight\)",
    ),
    "a prefix": (
        weights(TEXT, lambda found: {f"cond_stage.{name}": value for name, value in found.items()}),
        r"the text_encoder of .* lacks weights .*\(embeddings\.position_embedding\.weight and ",
    ),
    "one bias of a text encoder": (
        weights(TEXT, without("layers.1.mlp.fc1.bias")),
        r"the text_encoder of .* lacks weights .*\(encoder\.layers\.1\.mlp\.fc1\.bias\)",
    ),
    "a lost layer of the VAE": (
        weights(VAE, without("decoder.up_blocks.1.resnets.0")),
        r"the vae of .* lacks weights .*\(decoder\.up_blocks\.1\.resnets\.0",
    ),
    "more layers than its config.json says": (
        config("text_encoder/config.json", num_hidden_layers=1),
        r"the text_encoder of .* holds weights that a CLIPTextModel of its config\.json does not read",
    ),
    "a block that the UNet's config.json does not have": (
        weights(UNET, lambda found: found | {"class_embedding.weight": torch.zeros(10, 64)}),
        r"the unet of .* holds weights .* does not read \(class_embedding\.weight\)",
    ),
    "other shapes than its config.json says": (
        config("text_encoder/config.json", intermediate_size=48),
        r"the text_encoder of .* holds encoder\.layers\.0\.mlp\.fc1\.(weight|bias) as 64",
    ),
    "a tiny VAE": (tiny_vae, r"the vae of .* says _class_name AutoencoderTiny .*AutoencoderKL is needed"),
    "another text encoder": (config("text_encoder/config.json", model_type="t5"), "text_encoder of .* model_type t5"),
    "quantized": (
        config("unet/config.json", quantization_config={"quant_method": "bitsandbytes"}),
        "the unet of .* is quantized",
    ),
    "unCLIP": (config("unet/config.json", class_embed_type="projection"), "UNet of .* unCLIP.*class_embed_type"),
    "classes": (config("unet/config.json", num_class_embeds=5), r"UNet of .* \(num_class_embeds 5\)"),
    "pictures as prompts": (config("unet/config.json", encoder_hid_dim_type="image_proj"), "encoder_hid_dim_type"),
    "added text": (config("unet/config.json", addition_embed_type="text_time"), "addition_embed_type 'text_time'"),
    "no cross-attention": (
        config("unet/config.json", down_block_types=["DownBlock2D"] * 3, up_block_types=["UpBlock2D"] * 3),
        "no cross-attention",
    ),
    "another text width": (
        remade(UNet2DConditionModel, "unet", cross_attention_dim=48),
        "do not fit together: its UNet reads text of width 48, its text encoder gives 32",
    ),
    "another VAE": (
        remade(AutoencoderKL, "vae", latent_channels=16),
        "do not fit together: its VAE makes latents of 16 channels, its UNet reads 4",
    ),
    "a longer tokenizer": (
        config("tokenizer/tokenizer_config.json", model_max_length=77),
        "its tokenizer gives up to 77 tokens, its text_encoder reads 32; set model_max_length",
    ),
    "a tokenizer without end": (
        config("tokenizer/tokenizer_config.json", model_max_length=10**30),
        "the tokenizer of .* says no model_max_length",
    ),
    "a word without a row": (
        longer_words,
        "its tokenizer has the token '<sks>' as number 237, its text_encoder has 237",
    ),
    "flow matching": (
        scheduler("FlowMatchHeunDiscreteScheduler", "beta_start", "beta_end", "prediction_type"),
        "is FlowMatchHeunDiscreteScheduler: it was trained by flow matching",
    ),
    "flow matching in a solver's clothes": (
        scheduler("UniPCMultistepScheduler", use_flow_sigmas=True),
        "use_flow_sigmas: True, so it was trained by another process",
    ),
    "a prediction of flows": (
        scheduler("DPMSolverMultistepScheduler", prediction_type="flow_prediction"),
        "predicts 'flow_prediction'",
    ),
    "EDM": (scheduler("EDMDPMSolverMultistepScheduler", "beta_start", "beta_end"), "trained by EDM"),
    "EDM in a sampler's clothes": (
        scheduler("EulerDiscreteScheduler", timestep_type="continuous"),
        "timestep_type: continuous",
    ),
    "no betas": (scheduler("EulerDiscreteScheduler", "beta_start"), r"\(EulerDiscreteScheduler\) says no beta_start"),
    "LCM by its UNet": (remade(UNet2DConditionModel, "unet", time_cond_proj_dim=16), "time_cond_proj_dim.*distilled"),
    "LCM by its scheduler": (scheduler("LCMScheduler"), "is LCMScheduler, that of a distilled model"),
    "TCD by its scheduler": (scheduler("TCDScheduler"), "is TCDScheduler, that of a distilled model"),
    "distilled by its name": (
        config("unet/config.json", _name_or_path="owner/sdxl-turbo/unet"),
        r"is distilled for few steps \(turbo, as 'owner/sdxl-turbo/unet' says\)",
    ),
    "zero SNR and epsilon": (
        scheduler("DDIMScheduler", rescale_betas_zero_snr=True),
        "zero terminal SNR .* with prediction_type epsilon",
    ),
    "the fp16 variant alone": (
        renamed("unet", "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors"),
        "unet of .* has its weights as the variant fp16 alone .*variant='fp16' and save",
    ),
    "a pickle": (
        renamed("text_encoder", "model.safetensors", "pytorch_model.bin"),
        r"text_encoder of .* as a pickle \(pytorch_model\.bin\).*safe_serialization=True",
    ),
    "no weights": (lambda folder: (folder / VAE).unlink(), "vae of .* has no weights"),
    "weights cut short": (cut(UNET), r"unet of .*diffusion_pytorch_model\.safetensors is cut short"),
    "text cut short": (cut(TEXT), r"text_encoder of .*model\.safetensors is cut short"),
    "a pointer of Git LFS": (
        lambda folder: (folder / UNET).write_text(
            "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
        ),
        "unet of .*is a pointer of Git LFS.*git lfs pull",
    ),
    "shards beside a single file": (twice, "text_encoder of .* has its weights twice"),
    "a shard that is lost": (shard_lost, r"model-00001-of-00001\.safetensors is not there"),
}
LATE = {"a block that the UNet's config.json does not have"}
"""What the loaders' report alone tells."""


def refused(ask: Callable[[], object], sentence: str) -> None:
    with pytest.raises(SpecError, match=rf"^models\.base: .*{sentence}") as caught:
        ask()
    assert "\n" not in str(caught.value)
    assert "; " in str(caught.value), "what is wrong; what to do"


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_one_sentence(name: str, plain: Path, tmp_path: Path) -> None:
    fault, sentence = FAULTS[name]
    folder = shutil.copytree(plain, tmp_path / "base")
    fault(folder)
    refused(lambda: load_base(str(folder), None, torch.float32, "cpu"), sentence)
    if name not in LATE:
        refused(lambda: check_models(tiny_spec(folder)), sentence)


SECOND_FAULTS: dict[str, tuple[Fault, str]] = {
    "the projection": (
        weights(SECOND, without("text_projection")),
        r"the text_encoder_2 .* \(text_projection\.weight\)",
    ),
    "a lost layer": (weights(SECOND, without("layers.2.")), r"the text_encoder_2 of .* \(encoder\.layers\.2\."),
    "the first one's width": (config("text_encoder/config.json", hidden_size=64), r"width 80 .*text encoders give 112"),
    "the second tokenizer": (
        config("tokenizer_2/tokenizer_config.json", model_max_length=99),
        "its tokenizer_2 gives up",
    ),
    "another VAE": (config("vae/config.json", latent_channels=16), "VAE makes latents of 16 channels"),
    "EDM": (scheduler("EDMEulerScheduler", "beta_start", "beta_end"), "trained by EDM"),
}


@pytest.mark.parametrize("name", SECOND_FAULTS)
def test_the_same_of_sdxl(name: str, sdxl: Path, tmp_path: Path) -> None:
    fault, sentence = SECOND_FAULTS[name]
    folder = shutil.copytree(sdxl, tmp_path / "base")
    fault(folder)
    refused(lambda: load_base(str(folder), None, torch.float32, "cpu"), sentence)
    refused(lambda: check_models(tiny_spec(folder)), sentence)


HARMLESS: dict[str, Fault] = {
    "nothing": lambda folder: None,
    "names of older transformers, with their buffer": weights(
        TEXT,
        lambda found: (
            {f"text_model.{name}": value for name, value in found.items()}
            | {"text_model.embeddings.position_ids": torch.arange(32)[None]}
        ),
    ),
    "a projection that nobody reads": weights(
        TEXT, lambda found: found | {"text_projection.weight": torch.zeros(8, 32)}
    ),
    "a sampler of the same process": scheduler("EulerAncestralDiscreteScheduler"),
    "betas one by one": scheduler("DDPMScheduler", "beta_start", trained_betas=[0.001] * 1000),
    "zero SNR with v": scheduler("DDIMScheduler", rescale_betas_zero_snr=True, prediction_type="v_prediction"),
    "trained with PyTorch Lightning": config("unet/config.json", _name_or_path="/runs/lightning_logs/unet"),
    "shards": lambda folder: (twice(folder), (folder / TEXT).unlink()),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_whole_is_taken(name: str, plain: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(plain, tmp_path / "base")
    HARMLESS[name](folder)
    assert check_models(tiny_spec(folder)) == 64
    found = load_base(str(folder), None, torch.float32, "cpu").text_encoder.state_dict()
    wanted = load_base(str(plain), None, torch.float32, "cpu").text_encoder.state_dict()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)


def test_a_base_that_has_learned_handles_is_told_a_placeholder_that_is_free(plain: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(plain, tmp_path / "base")
    words = build_tokenizer()
    words.add_tokens(["<asset0>"])
    words.save_pretrained(folder / "tokenizer")
    weights(TEXT, lambda found: found | {"embeddings.token_embedding.weight": torch.zeros(len(words), 32)})(folder)
    config("text_encoder/config.json", vocab_size=len(words))(folder)
    sentence = r"extract\.placeholder: '<asset\{index\}>' .*\(<asset0>\); choose another, such as <concept\{index\}>"
    with pytest.raises(SpecError, match=sentence):
        check_models(tiny_spec(folder))
    with pytest.raises(SpecError, match=sentence):
        HandleTokens([words])
    assert check_models(tiny_spec(folder, extract={"placeholder": "<concept{index}>"})) == 64


def test_a_single_file_says_how_it_becomes_a_folder(tmp_path: Path) -> None:
    file = tmp_path / "juggernaut.safetensors"
    file.write_bytes(b"weights")
    refused(lambda: check_models(tiny_spec(file)), r"juggernaut\.safetensors is a single file.*from_single_file")

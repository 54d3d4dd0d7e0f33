"""Factors of the true sizes of SD 1.5, SD 2.1 and SDXL by the rules of ComfyUI (whose map Forge carries), kohya's
scripts and A1111: each of the three finds every layer that a file names, and finds the right one. diffusers computes
the same to the last bit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.loaders import StableDiffusionXLLoraLoaderMixin
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel

from benchmarks.models import SD21, SDXL
from stages.handles.cost import meta_unet
from stages.handles.lora.kohya import SDXL_WIDTHS, kohya_names, kohya_state
from stages.handles.lora.layout import LoraLayout, LoraSite
from stages.handles.lora.sites import find_sites, site_name
from tests.support.ldm_names import ldm_names

RANK = 4
SD15 = {
    "unet": SD21["unet"] | {"cross_attention_dim": 768, "attention_head_dim": 8, "use_linear_projection": False},
    "text": [{"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}],
}
BASES = {"sd15": SD15, "sd21": SD21, "sdxl": SDXL}
WIDTHS = {"sd15": (768,), "sd21": (1024,), "sdxl": SDXL_WIDTHS}
COUNT = {"sd15": 296, "sd21": 362, "sdxl": 1013}
"""Layers with factors where all targets are asked for."""
KOHYA_BLOCKS = ("Transformer2DModel", "ResnetBlock2D", "Downsample2D", "Upsample2D", "CLIPAttention", "CLIPMLP")
"""Classes in which kohya's scripts look for layers."""


@dataclass(frozen=True)
class Base:
    """A base without weights. layers: name in PEFT's manner -> layer, of all that kohya's scripts look at; ldm: name of
    a UNet's layer -> Stability's name; state: a scene's factors under kohya's names; names: PEFT's name -> kohya's."""

    layers: dict[str, nn.Module]
    ldm: dict[str, str]
    state: dict[str, Tensor]
    names: dict[str, str]


@cache
def base(kind: str) -> Base:
    sizes = BASES[kind]
    parts: dict[str, nn.Module] = {"unet": meta_unet(sizes["unet"])}
    for name, config in zip(("text_encoder", "text_encoder_2"), sizes["text"], strict=False):
        with torch.device("meta"):
            parts[name] = CLIPTextModel(CLIPTextConfig(**config))
    layers = {
        site_name(part, f"{block}.{inner}"): layer
        for part, model in parts.items()
        for block, module in model.named_modules()
        if type(module).__name__ in KOHYA_BLOCKS
        for inner, layer in module.named_modules()
        if isinstance(layer, (nn.Linear, nn.Conv2d)) and inner
    }
    sites = [site(part, name, layer) for part, model in parts.items() for name, layer in find_sites(model, part)]
    layout = LoraLayout(RANK, tuple(sites))
    factors = layout.state(torch.zeros(layout.parameters, device="meta"))
    names = [name for name, _ in parts["unet"].named_modules()]
    return Base(
        layers,
        ldm_names(sizes["unet"], names),
        kohya_state(factors, WIDTHS[kind]),
        kohya_names(factors, WIDTHS[kind]),
    )


def site(part: str, name: str, layer: nn.Linear | nn.Conv2d) -> LoraSite:
    if isinstance(layer, nn.Conv2d):
        return LoraSite(site_name(part, name), layer.in_channels, layer.out_channels, layer.kernel_size)
    return LoraSite(site_name(part, name), layer.in_features, layer.out_features)


def text_names(kind: str, layer: str) -> set[str]:
    """What a layer of a text encoder is called where there is one, and where there are two."""
    part, _, rest = layer.partition(".")
    flat = rest.replace(".", "_")
    if kind != "sdxl":
        return {f"lora_te_{flat}", f"lora_te1_{flat}"}
    return {f"lora_te1_{flat}" if part == "text_encoder" else f"lora_te2_{flat}"}


def comfy(kind: str, found: Base) -> dict[str, str]:
    """ComfyUI's map: Stability's names with underscores, and diffusers' by where the layer lies."""
    known = {}
    for layer in found.layers:
        part, _, rest = layer.partition(".")
        names = {f"lora_unet_{name.replace('.', '_')}" for name in (rest, found.ldm[rest])} if part == "unet" else None
        known |= dict.fromkeys(names or text_names(kind, layer), layer)
    return known


def kohya(kind: str, found: Base) -> dict[str, str]:
    """kohya's: the names of the modules of the UNet that it trains, and of the text encoders."""
    known = {}
    for layer in found.layers:
        part, _, rest = layer.partition(".")
        if part == "unet":
            own = found.ldm[rest] if kind == "sdxl" else rest
            known[f"lora_unet_{own.replace('.', '_')}"] = layer
        else:
            known |= dict.fromkeys({n for n in text_names(kind, layer) if kind == "sdxl" or "te_" in n}, layer)
    return known


def a1111(kind: str, found: Base) -> dict[str, str]:
    """A1111's for the UNet: a name of diffusers is counted into one of Stability's, as SD 1 and 2 are built; any other
    is taken for one of Stability's."""
    by_ldm = {f"lora_unet_{name.replace('.', '_')}": f"unet.{layer}" for layer, name in found.ldm.items()}
    known = {}
    for name in {key.partition(".")[0] for key in found.state}:
        own = name
        if match := re.fullmatch(r"lora_unet_(down|up)_blocks_(\d+)_(attentions|resnets)_(\d+)_(.+)", name):
            level, number = int(match[2]), int(match[4])
            rest = {"conv1": "in_layers_2", "conv2": "out_layers_3", "conv_shortcut": "skip_connection"}
            way, first = ("input", 1) if match[1] == "down" else ("output", 0)
            place = 1 if match[3] == "attentions" else 0
            own = f"lora_unet_{way}_blocks_{first + 3 * level + number}_{place}_{rest.get(match[5], match[5])}"
        elif match := re.fullmatch(r"lora_unet_mid_block_(attentions|resnets)_(\d+)_(.+)", name):
            rest = {"conv1": "in_layers_2", "conv2": "out_layers_3"}
            place = 1 if match[1] == "attentions" else 2 * int(match[2])
            own = f"lora_unet_middle_block_{place}_{rest.get(match[3], match[3])}"
        elif match := re.fullmatch(r"lora_unet_down_blocks_(\d+)_downsamplers_0_conv", name):
            own = f"lora_unet_input_blocks_{3 + 3 * int(match[1])}_0_op"
        elif match := re.fullmatch(r"lora_unet_up_blocks_(\d+)_upsamplers_0_conv", name):
            own = f"lora_unet_output_blocks_{2 + 3 * int(match[1])}_{2 if int(match[1]) else 1}_conv"
        if own in by_ldm:
            known[name] = by_ldm[own]
    return known | {name: layer for name, layer in kohya(kind, found).items() if name.startswith("lora_te")}


RULES = {"ComfyUI and Forge": comfy, "kohya": kohya, "A1111": a1111}


@pytest.mark.parametrize("tool", sorted(RULES))
@pytest.mark.parametrize("kind", sorted(BASES))
def test_every_layer_is_found_and_is_the_right_one(kind: str, tool: str) -> None:
    found = base(kind)
    known = RULES[tool](kind, found)
    named = {key.partition(".")[0] for key in found.state}
    assert len(named) == COUNT[kind]
    assert sorted(named - known.keys()) == []
    for peft, name in found.names.items():
        assert known[name.partition(".")[0]] == peft.removesuffix(".weight").rpartition(".")[0]


@pytest.mark.parametrize("kind", sorted(BASES))
def test_each_layer_has_both_factors_in_their_shapes_and_its_alpha(kind: str) -> None:
    found = base(kind)
    named = {key.partition(".")[0] for key in found.state}
    assert len(found.state) == 3 * len(named)
    for peft, name in found.names.items():
        layer, factor = found.layers[peft.removesuffix(".weight").rpartition(".")[0]], found.state[name]
        ends = [1, 1] if isinstance(layer, nn.Conv2d) else []
        outputs, inputs, *kernel = layer.weight.shape
        down = name.endswith("lora_down.weight")
        assert list(factor.shape) == ([RANK, inputs, *kernel] if down else [outputs, RANK, *ends])
        alpha = found.state[f"{name.partition('.')[0]}.alpha"]
        assert (alpha.item(), alpha.dtype, alpha.dim()) == (RANK, torch.float32, 0)


SMALL = {
    "sample_size": 8,
    "block_out_channels": (16, 32, 32),
    "layers_per_block": 2,
    "transformer_layers_per_block": (1, 1, 2),
    "cross_attention_dim": 24,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "attention_head_dim": (2, 4, 4),
    "norm_num_groups": 8,
    "use_linear_projection": True,
}
"""SDXL's UNet but for its widths and its sizes of pictures."""


@pytest.mark.parametrize("widths", [SDXL_WIDTHS, (1024,)])
def test_diffusers_computes_the_same_to_the_last_bit(widths: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    unet = UNet2DConditionModel(**SMALL).eval()
    layout = LoraLayout(RANK, tuple(site("unet", name, layer) for name, layer in find_sites(unet, "unet")))
    factors = {name: t.half() for name, t in layout.state(0.1 * torch.randn(layout.parameters)).items()}
    inputs: dict[str, Any] = {
        "sample": torch.randn(1, 4, 8, 8),
        "timestep": torch.tensor([7]),
        "encoder_hidden_states": torch.randn(1, 5, 24),
    }
    results = {"without": unet(**inputs).sample}
    ours = kohya_state(factors, widths)
    assert any("input_blocks" in name for name in ours) == (widths == SDXL_WIDTHS)
    loader = StableDiffusionXLLoraLoaderMixin
    for name, state in (("peft", factors), ("kohya", ours)):
        read, alphas = loader.lora_state_dict(dict(state), unet_config=unet.config)
        loader.load_lora_into_unet(read, network_alphas=alphas, unet=unet, adapter_name=name)
        unet.set_adapter(name)
        results[name] = unet(**inputs).sample
    assert torch.equal(results["peft"], results["kohya"])
    assert not torch.allclose(results["peft"], results["without"], atol=1e-2)


def test_a_smaller_unet_of_sdxl_s_kind_keeps_diffusers_names() -> None:
    """One layer a level: its fourth block would be called as SDXL's third."""
    names = [f"unet.up_blocks.0.attentions.{i}.proj_in.lora_{part}.weight" for i in range(2) for part in "AB"]
    assert kohya_names(names, SDXL_WIDTHS)[names[2]] == "lora_unet_up_blocks_0_attentions_1_proj_in.lora_down.weight"
    with pytest.raises(ValueError, match=r"unet\.conv_in\.weight is no name of a factor"):
        kohya_names(["unet.conv_in.weight"], (768,))

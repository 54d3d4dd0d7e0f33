"""LoRA factors under the names of kohya's sd-scripts, which nearly every tool reads, diffusers among them.

`lora_unet_` stands before the UNet's layers and `lora_te_` before the text encoder's (`lora_te1_`, `lora_te2_` where
there are two), dots are underscores, A and B are `lora_down` and `lora_up` in the shapes that they have, and beside
each pair lies `alpha`: the rank, so that the scale is 1.

SDXL's UNet is called as Stability's own code calls it (`input_blocks_4_1_...`). That is the UNet that kohya trains, and
what it resumes or merges is looked up by these names alone; all other tools know both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

SDXL_WIDTHS = (768, 1280)
"""Widths of the text encoders of SDXL."""

_PREFIX = {"unet": "lora_unet", "text_encoder_2": "lora_te2"}
_SUFFIX = {"lora_A.weight": "lora_down.weight", "lora_B.weight": "lora_up.weight"}
_LAYER = re.compile(r"(unet|text_encoder|text_encoder_2)\.(.+)\.(lora_[AB]\.weight)")
_DOWN_OR_UP = re.compile(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)")
_MIDDLE = re.compile(r"mid_block\.(resnets|attentions)\.(\d+)\.(.+)")
_RESNET = {
    "conv1": "in_layers.2",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
    "time_emb_proj": "emb_layers.1",
}
_ENDS = {
    "conv_in": "input_blocks.0.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}
_BLOCKS, _LAYERS = 3, 2
"""Levels of SDXL's UNet, and its layers a level on the way down; on the way up there is one more."""


def kohya_state(factors: Mapping[str, Tensor], widths: tuple[int, ...]) -> dict[str, Tensor]:
    """One scene's factors under kohya's names.

    factors: by PEFT's names, as `SceneWeights.lora`; widths: of the text encoders. An `alpha` is float32 and has no
    dimensions. Raises ValueError for a name of another kind.
    """
    found: dict[str, Tensor] = {}
    name_of = kohya_names(factors, widths)
    for name, factor in factors.items():
        layer, _, suffix = name_of[name].partition(".")
        found[name_of[name]] = factor
        if suffix == "lora_down.weight":
            found[f"{layer}.alpha"] = torch.tensor(float(factor.shape[0]))
    return found


def kohya_names(names: Iterable[str], widths: tuple[int, ...]) -> dict[str, str]:
    """PEFT's name -> kohya's, of every factor. Raises ValueError for a name of another kind."""
    parts: dict[str, tuple[str, str, str]] = {}
    for name in names:
        if (match := _LAYER.fullmatch(name)) is None:
            raise ValueError(f"{name} is no name of a factor")
        parts[name] = (match[1], match[2], match[3])
    layers = [layer for part, layer, _ in parts.values() if part == "unet"]
    unet_name: Callable[[str], str] = _by_stability if widths == SDXL_WIDTHS and _as_sdxl(layers) else str
    first = "lora_te1" if len(widths) > 1 else "lora_te"
    return {
        name: f"{_PREFIX.get(part, first)}_{(unet_name(layer) if part == 'unet' else layer).replace('.', '_')}."
        f"{_SUFFIX[suffix]}"
        for name, (part, layer, suffix) in parts.items()
    }


def stability_name(layer: str) -> str | None:
    """A layer of a UNet of SDXL's kind by the name that Stability's code gives it; None for one that it has not."""
    try:
        return _ENDS.get(layer) or _by_stability(layer)
    except (ValueError, KeyError):
        return None


def _as_sdxl(layers: Iterable[str]) -> bool:
    """Whether a UNet's layers are counted as SDXL's: a smaller one of its kind may have fewer of them a level, and its
    names of Stability's would be another layer's."""
    places = {(match[1], int(match[2]), int(match[4])) for layer in layers if (match := _DOWN_OR_UP.match(layer))}
    last = max((number for way, _, number in places if way == "up"), default=None)
    return last == _LAYERS and all(level < _BLOCKS for _, level, _ in places)


def _by_stability(layer: str) -> str:
    """A layer of SDXL's UNet by the name that Stability's code gives it."""
    if match := _MIDDLE.fullmatch(layer):
        kind, number, rest = match[1], int(match[2]), match[3]
        return f"middle_block.1.{rest}" if kind == "attentions" else f"middle_block.{2 * number}.{_RESNET[rest]}"
    match = _DOWN_OR_UP.fullmatch(layer)
    if match is None:
        raise ValueError(f"{layer} is no layer of SDXL's UNet that carries factors")
    way, level, kind, number, rest = match[1], int(match[2]), match[3], int(match[4]), match[5]
    if kind == "downsamplers":
        return f"input_blocks.{(_LAYERS + 1) * (level + 1)}.0.op"
    if kind == "upsamplers":
        return f"output_blocks.{(_LAYERS + 1) * level + _LAYERS}.2.{rest}"
    blocks, first = ("input_blocks", 1) if way == "down" else ("output_blocks", 0)
    block = f"{blocks}.{first + (_LAYERS + 1) * level + number}"
    return f"{block}.1.{rest}" if kind == "attentions" else f"{block}.0.{_RESNET[rest]}"

"""Which layers of a base carry factors, by `extract.lora.targets`, and wrapping them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import nn

from stages.handles.lora.conv import LoraConv
from stages.handles.lora.layout import LoraLayout, LoraSite
from stages.handles.lora.linear import LoraLinear
from stages.handles.row_owners import RowOwners

UNET_TARGETS = {
    "cross_kv": ("attn2.to_k", "attn2.to_v"),
    "attention": ("to_q", "to_k", "to_v", "to_out.0"),
    "ff": ("ff.net.0.proj", "ff.net.2"),
    "conv": ("conv1", "conv2", "conv_shortcut", "downsamplers.0.conv", "upsamplers.0.conv"),
}
TEXT_TARGETS = {"attention": ("q_proj", "k_proj", "v_proj", "out_proj"), "ff": ("mlp.fc1", "mlp.fc2")}
"""Ends of the layers' names, by kind. proj_in and proj_out, convolutions in some models and linear in others, and
the layers of the time embedding carry no factors."""

KINDS = {
    "cross_kv": ("cross_kv",),
    "attention": ("attention",),
    "attention_ff": ("attention", "ff"),
    "attention_ff_conv": ("attention", "ff", "conv"),
}
"""What each value of `extract.lora.targets` takes. With `cross_kv`, Custom Diffusion's choice, no layer of the text
encoder is among them."""


def site_name(part: str, module_name: str) -> str:
    """Name in the file. The text encoders' carry `text_model.` as released checkpoints do; diffusers takes
    both.
    """
    if part != "unet" and not module_name.startswith("text_model."):
        module_name = f"text_model.{module_name}"
    return f"{part}.{module_name}"


def find_sites(model: nn.Module, part: str) -> list[tuple[str, nn.Linear | nn.Conv2d]]:
    """The layers that can carry factors, of the UNet or a text encoder, sorted by name."""
    targets = UNET_TARGETS if part == "unet" else TEXT_TARGETS
    ends = [end for kind in targets.values() for end in kind]
    return sorted(
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, (nn.Linear, nn.Conv2d)) and _ends_with(name, ends)
    )


def install_lora(parts: Mapping[str, nn.Module], owners: RowOwners) -> dict[str, LoraLinear | LoraConv]:
    """Wraps every site of `parts` (unet, text_encoder, text_encoder_2); returns file name -> wrapper. Without factors:
    unchanged.
    """
    installed: dict[str, LoraLinear | LoraConv] = {}
    for part, model in parts.items():
        for name, layer in find_sites(model, part):
            parent, _, child = name.rpartition(".")
            wrapper = LoraConv(layer, owners) if isinstance(layer, nn.Conv2d) else LoraLinear(layer, owners)
            setattr(model.get_submodule(parent), child, wrapper)
            installed[site_name(part, name)] = wrapper
    return installed


def make_layout(
    installed: Mapping[str, LoraLinear | LoraConv], rank: int, text_encoder: bool, targets: str = "attention"
) -> LoraLayout:
    """The layout for `extract.lora`: the sites of `targets` in the UNet and, if asked for, in the text encoders."""
    unet, text = (
        [end for kind in KINDS[targets] for end in table.get(kind, ())]
        for table in (UNET_TARGETS, TEXT_TARGETS if text_encoder else {})
    )
    return LoraLayout(
        rank,
        tuple(
            _site(name, wrapper)
            for name, wrapper in sorted(installed.items())
            if _ends_with(name, unet if name.startswith("unet.") else text)
        ),
    )


def _site(name: str, wrapper: LoraLinear | LoraConv) -> LoraSite:
    if isinstance(wrapper, LoraConv):
        return LoraSite(name, wrapper.base.in_channels, wrapper.base.out_channels, wrapper.base.kernel_size)
    return LoraSite(name, wrapper.base.in_features, wrapper.base.out_features)


def _ends_with(name: str, ends: Iterable[str]) -> bool:
    """Whether the layer's name ends in one of `ends`, at a dot."""
    return any(name.endswith(f".{end}") for end in ends)

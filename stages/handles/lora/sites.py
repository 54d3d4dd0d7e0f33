"""LoRA factors of many scenes around one frozen layer, applied as one batched matrix product.

The factors of all sites lie in one parameter `flat` [S, P]: one tensor to clip and to optimize, one split a
step. alpha = rank, so the scale is 1. Key names are PEFT's, as diffusers' `load_lora_weights` reads them.
Convolutions are in `lora_conv.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stages.handles.lora.conv import LoraConv
from stages.handles.lora.layer import LoraLayer
from stages.handles.row_owners import RowOwners
from stages.streams import stream

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


class LoraLinear(LoraLayer):
    """A frozen linear layer plus the factors of the row's own scene.

    pair: (A [S, r, in], B [S, out, r]) or None. Input and output: [R, T, features].
    """

    def change(self, x: Tensor, down: Tensor, up: Tensor) -> Tensor:
        grouped = x.reshape(down.shape[0], -1, x.shape[-1])
        return torch.bmm(torch.bmm(grouped, down.mT), up.mT)


@dataclass(frozen=True)
class LoraSite:
    """One wrapped layer: its name in the file and its sizes. kernel: (k, k) of a convolution, () of a linear
    layer.
    """

    name: str
    inputs: int
    outputs: int
    kernel: tuple[int, ...] = ()

    @property
    def fan_in(self) -> int:
        """Numbers that one output of the layer, or of A, is made of."""
        return self.inputs * math.prod(self.kernel)


@dataclass(frozen=True)
class LoraLayout:
    """Where each site's factors lie in `flat` [S, P]: A then B, site after site."""

    rank: int
    sites: tuple[LoraSite, ...]

    @property
    def sizes(self) -> list[int]:
        return [n for site in self.sites for n in (self.rank * site.fan_in, self.rank * site.outputs)]

    @property
    def parameters(self) -> int:
        """P: parameters of one scene."""
        return sum(self.sizes)

    def pairs(self, flat: Tensor) -> Iterator[tuple[LoraSite, Tensor, Tensor]]:
        """flat: [S, P] -> for each site A [S, r, in] and B [S, out, r], as views; a convolution's have (k, k) and
        (1, 1) behind.
        """
        pieces = torch.split(flat, self.sizes, dim=1)
        scenes = flat.shape[0]
        for i, site in enumerate(self.sites):
            yield (
                site,
                pieces[2 * i].view(scenes, self.rank, site.inputs, *site.kernel),
                pieces[2 * i + 1].view(scenes, site.outputs, self.rank, *(1 for _ in site.kernel)),
            )

    def initial(self, seed: int, scene_id: str) -> Tensor:
        """One scene's start [P]: A by kaiming_uniform(a=sqrt(5)) from the scene's stream, B zero."""
        generator = stream(seed, scene_id, "extract/lora")
        flat = torch.zeros(1, self.parameters)
        for site, down, _ in self.pairs(flat):
            bound = 1.0 / math.sqrt(site.fan_in)
            down.copy_(torch.empty_like(down).uniform_(-bound, bound, generator=generator))
        return flat[0]

    def state(self, flat: Tensor) -> dict[str, Tensor]:
        """One scene's factors [P] under PEFT's key names."""
        state = {}
        for site, down, up in self.pairs(flat[None]):
            state[f"{site.name}.lora_A.weight"] = down[0].contiguous()
            state[f"{site.name}.lora_B.weight"] = up[0].contiguous()
        return state

    def flatten(self, state: Mapping[str, Tensor]) -> Tensor:
        """The inverse of `state`: [P], float32."""
        return torch.cat(
            [state[f"{site.name}.lora_{part}.weight"].float().flatten() for site in self.sites for part in "AB"]
        )

    @classmethod
    def of_state(cls, state: Mapping[str, Tensor]) -> LoraLayout:
        """The layout of factors that were saved."""
        names = sorted(key.removesuffix(".lora_A.weight") for key in state if key.endswith(".lora_A.weight"))
        downs, ups = ({n: state[f"{n}.lora_{part}.weight"].shape for n in names} for part in "AB")
        return cls(downs[names[0]][0], tuple(LoraSite(n, downs[n][1], ups[n][0], tuple(downs[n][2:])) for n in names))


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

"""LoRA factors of many scenes around one frozen layer, applied as one batched matrix product.

The factors of all sites lie in one parameter `flat` [S, P]: one tensor to clip and to optimize, one split a
step. alpha = rank, so the scale is 1. Key names are PEFT's, as diffusers' `load_lora_weights` reads them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stages.extract.row_owners import RowOwners
from stages.streams import stream

UNET_TARGETS = ("to_q", "to_k", "to_v", "to_out.0")
TEXT_TARGETS = ("q_proj", "k_proj", "v_proj", "out_proj")


class LoraLinear(nn.Module):
    """A frozen linear layer plus the factors of the row's own scene.

    pair: (A [S, r, in], B [S, out, r]) or None. Input and output: [R, T, features].
    """

    def __init__(self, base: nn.Linear, owners: RowOwners) -> None:
        super().__init__()
        self.base, self.owners = base, owners
        self.pair: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        plain = self.base(x)
        if self.pair is None:
            return plain
        down, up = self.pair
        if self.owners.index is not None:
            down, up = down[self.owners.index], up[self.owners.index]
        grouped = x.reshape(down.shape[0], -1, x.shape[-1])
        change = torch.bmm(torch.bmm(grouped, down.mT), up.mT)
        return plain + change.view_as(plain)


@dataclass(frozen=True)
class LoraSite:
    """One wrapped layer: its name in the file and its sizes."""

    name: str
    inputs: int
    outputs: int


@dataclass(frozen=True)
class LoraLayout:
    """Where each site's factors lie in `flat` [S, P]: A then B, site after site."""

    rank: int
    sites: tuple[LoraSite, ...]

    @property
    def sizes(self) -> list[int]:
        return [n for site in self.sites for n in (self.rank * site.inputs, self.rank * site.outputs)]

    @property
    def parameters(self) -> int:
        """P: parameters of one scene."""
        return sum(self.sizes)

    def pairs(self, flat: Tensor) -> Iterator[tuple[LoraSite, Tensor, Tensor]]:
        """flat: [S, P] -> for each site A [S, r, in] and B [S, out, r], as views."""
        pieces = torch.split(flat, self.sizes, dim=1)
        scenes = flat.shape[0]
        for i, site in enumerate(self.sites):
            yield (site, pieces[2 * i].view(scenes, self.rank, site.inputs),
                   pieces[2 * i + 1].view(scenes, site.outputs, self.rank))

    def initial(self, seed: int, scene_id: str) -> Tensor:
        """One scene's start [P]: A by kaiming_uniform(a=sqrt(5)) from the scene's stream, B zero."""
        generator = stream(seed, scene_id, "extract/lora")
        flat = torch.zeros(1, self.parameters)
        for site, down, _ in self.pairs(flat):
            bound = 1.0 / math.sqrt(site.inputs)
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
        return torch.cat([state[f"{site.name}.lora_{part}.weight"].float().flatten()
                          for site in self.sites for part in "AB"])

    @classmethod
    def of_state(cls, state: Mapping[str, Tensor]) -> LoraLayout:
        """The layout of factors that were saved."""
        names = sorted(key.removesuffix(".lora_A.weight") for key in state if key.endswith(".lora_A.weight"))
        sites = tuple(LoraSite(n, state[f"{n}.lora_A.weight"].shape[1], state[f"{n}.lora_B.weight"].shape[0])
                      for n in names)
        return cls(state[f"{names[0]}.lora_A.weight"].shape[0], sites)


def site_name(part: str, module_name: str) -> str:
    """Name in the file. The text encoder's carry `text_model.` as released checkpoints do; diffusers takes
    both.
    """
    if part == "text_encoder" and not module_name.startswith("text_model."):
        module_name = f"text_model.{module_name}"
    return f"{part}.{module_name}"


def find_sites(model: nn.Module, part: str) -> list[tuple[str, nn.Linear]]:
    """The linear layers that carry factors: attention projections of the UNet or the text encoder, sorted by
    name.
    """
    targets = UNET_TARGETS if part == "unet" else TEXT_TARGETS
    return sorted((name, module) for name, module in model.named_modules()
                  if isinstance(module, nn.Linear) and any(name.endswith(f".{target}") for target in targets))


def install_lora(parts: Mapping[str, nn.Module], owners: RowOwners) -> dict[str, LoraLinear]:
    """Wraps every site of `parts` (unet, text_encoder); returns file name -> wrapper. Without factors:
    unchanged.
    """
    installed = {}
    for part, model in parts.items():
        for name, linear in find_sites(model, part):
            parent, _, child = name.rpartition(".")
            wrapper = LoraLinear(linear, owners)
            setattr(model.get_submodule(parent), child, wrapper)
            installed[site_name(part, name)] = wrapper
    return installed


def make_layout(installed: Mapping[str, LoraLinear], rank: int, text_encoder: bool) -> LoraLayout:
    """The layout for `extract.lora`: all sites of the UNet and, if asked for, of the text encoder."""
    return LoraLayout(rank, tuple(
        LoraSite(name, wrapper.base.in_features, wrapper.base.out_features)
        for name, wrapper in sorted(installed.items()) if text_encoder or name.startswith("unet.")))

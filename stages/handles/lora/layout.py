"""Where the factors of all layers lie in one parameter `flat` [S, P].

One tensor to clip and to optimize, one split a step. alpha = rank, so the scale is 1. Key names are PEFT's, as
diffusers' `load_lora_weights` reads them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from stages.streams import stream


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

"""`tuning: full`: the whole UNet and the text encoders train, one scene at a time, and the base comes back
exactly.

The paper's own phase 2, kept to measure LoRA against. Costs a scene of ~1.3 G parameters at SD 2.1 size.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from stages.models.base.base_model import BaseModel

CROSS_KV = re.compile(r"^unet\..*\.attn2\.to_[kv]\.")
"""What `extract.full.targets: cross_kv` trains."""


def tunable(base: BaseModel) -> dict[str, nn.Parameter]:
    """File name (`unet.…`, `text_encoder.…`, `text_encoder_2.…`) -> parameter, without the names that our
    wrappers add.
    """
    parts: dict[str, nn.Module] = {"unet": base.unet, **base.text_encoders}
    return {
        f"{part}.{plain_name(name)}": parameter
        for part, module in parts.items()
        for name, parameter in module.named_parameters()
    }


def plain_name(name: str) -> str:
    """Name of a parameter in the base as it was before it was wrapped."""
    return name.replace(".base.", ".")


@contextlib.contextmanager
def unlocked(base: BaseModel, targets: str = "all") -> Iterator[dict[str, nn.Parameter]]:
    """The weights of UNet and text encoders as trainable parameters; on leaving, every bit is as it was
    before. targets: `all`, or `cross_kv` for the cross-attention's key and value projections.
    """
    parameters = {name: p for name, p in tunable(base).items() if targets == "all" or CROSS_KV.search(name)}
    kept = {name: parameter.detach().to("cpu", copy=True) for name, parameter in parameters.items()}
    try:
        for parameter in parameters.values():
            parameter.requires_grad_(True)
        yield parameters
    finally:
        for name, parameter in parameters.items():
            parameter.requires_grad_(False)
            parameter.grad = None
            parameter.data.copy_(kept[name])


@contextlib.contextmanager
def replaced(base: BaseModel, weights: Mapping[str, Tensor]) -> Iterator[None]:
    """The base with a scene's own weights in it; on leaving, every bit is as it was before."""
    parameters = tunable(base)
    unknown = sorted(set(weights) - set(parameters))
    if unknown:
        raise ValueError(f"the scene's weights belong to another base model: it has no {unknown[0]}")
    kept = {name: parameters[name].detach().clone() for name in weights}
    try:
        for name, own in weights.items():
            parameters[name].data.copy_(own)
        yield
    finally:
        for name, own in kept.items():
            parameters[name].data.copy_(own)


def half_precision(parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """What is saved: float16 on the CPU."""
    return {name: parameter.detach().to("cpu", torch.float16, copy=True) for name, parameter in parameters.items()}

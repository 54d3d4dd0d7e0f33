"""Step-distilled factors (LCM-LoRA, Hyper-SD, TCD, DMD2) laid under a base's weights, so that every scene's own factors
stand on them: W + alpha / rank * B A, once, when the base is loaded. Where a layer has no alpha of its own,
`stated_scale.py` reads what the file says of all.

Their layers are known by diffusers' names, by kohya's over diffusers' layers, and by kohya's over Stability's.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from schemas.errors import SpecError
from stages.handles.lora.kohya import stability_name
from stages.handles.lora.stated_scale import StatedScale
from stages.models.base.base_model import BaseModel
from stages.models.distilled import FIELD, pairs_of

_PROCESSOR = re.compile(r"\.processor\.(to_(?:q|k|v|out))$")
"""How diffusers called the factors of an attention before 0.22."""


@torch.no_grad()
def lay_under(base: BaseModel, file: Path, name: str) -> int:
    """Adds the factors in `file` to the weights of the base's UNet; returns to how many layers. Before anything is
    wrapped. name: what the spec calls it.

    Raises SpecError for a layer that the base does not have, or has in another shape.
    """
    try:
        state = load_file(file)
    except (OSError, SafetensorError) as error:
        raise SpecError(f"{FIELD}: cannot read {name} ({type(error).__name__}: {error}); copy it again") from error
    layers, stated = known_layers(base.unet), StatedScale(file, name)
    changes = []
    for called, (down, up) in pairs_of(state, name).items():
        layer = layers.get(_plain(called))
        if layer is None:
            raise SpecError(
                f"{FIELD}: {name} changes {called}, a layer that models.base does not have: it is of another base; "
                "name one that was distilled for this one"
            )
        alpha = state.get(f"{called}.alpha")
        scale = stated.of(_plain(called)) if alpha is None else float(alpha) / len(state[down])
        changes.append((layer, scale * _product(called, name, layer, (state[down], state[up]))))
    for layer, change in changes:
        weight = layer.weight
        weight.copy_((weight.float() + change.to(weight.device)).to(weight.dtype))
    return len(changes)


def known_layers(unet: nn.Module) -> dict[str, nn.Linear | nn.Conv2d]:
    """Every name that a file may have for a layer -> the layer."""
    found: dict[str, nn.Linear | nn.Conv2d] = {}
    plain = {n: m for n, m in unet.named_modules() if isinstance(m, (nn.Linear, nn.Conv2d))}
    for name, layer in plain.items():
        if theirs := stability_name(name):
            found[f"lora_unet_{theirs.replace('.', '_')}"] = layer
    for name, layer in plain.items():
        found |= {name: layer, f"unet.{name}": layer, f"lora_unet_{name.replace('.', '_')}": layer}
    return found


def _plain(called: str) -> str:
    called = called.removeprefix("base_model.model.")
    match = _PROCESSOR.search(called)
    if match is None:
        return called
    return called[: match.start()] + f".{match[1]}" + (".0" if match[1] == "to_out" else "")


def _product(called: str, name: str, layer: nn.Linear | nn.Conv2d, factors: tuple[Tensor, Tensor]) -> Tensor:
    """B A in the shape of the layer's weights, float32."""
    down, up = (factor.float() for factor in factors)
    rank, shape = down.shape[0], tuple(layer.weight.shape)
    fits = up.shape[1] == rank and (up.shape[0], *down.shape[1:]) in (shape, (*shape, 1, 1), shape[:2])
    if not fits or (len(shape) == 4 and down.ndim == 2 and shape[2:] != (1, 1)):
        raise SpecError(
            f"{FIELD}: {name} has {called} for a layer of {up.shape[0]} x {down.shape[1]}, and that of models.base is "
            f"{shape[0]} x {shape[1]}: it is of another base; name one that was distilled for this one"
        )
    return (up.flatten(1) @ down.flatten(1)).reshape(shape)

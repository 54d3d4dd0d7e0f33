"""The least memory that learning and drawing take, from the base's configuration alone: for `unscene plan`. No weights
are loaded.

Weights and what trains are counted. What a step keeps for its backward pass is found by a step on tensors without
numbers; it needs gradients and scratch beside. One step of true SD 2.1 size was measured (docs/engine.md: 10.4 GiB on a
CPU in float32, 4.8 of them weights), which is `PEAK_OF_SAVED` times what is counted here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from schemas.job import JobSpec
from stages.handles.cost import BaseCost
from stages.handles.lora.sites import install_lora, make_layout
from stages.handles.row_owners import RowOwners
from stages.models.base.layout import read_config, unet_config
from stages.models.place import bundled

PEAK_OF_SAVED = 1.7
"""Peak of a step beyond weights and what trains, as a multiple of what it keeps for the backward pass."""
TRAINED_BYTES = 16
"""Of a number that trains: itself, its gradient and AdamW's two moments, in float32."""
CHECKPOINTED = 0.35
"""Share of that with `extract.gradient_checkpointing`: the inputs of all blocks, and the largest block in full."""
DECODED_MAPS = 4
"""While the VAE decodes, about so many of its largest maps are held at once."""


@dataclass(frozen=True)
class Memory:
    """Unit: bytes. weights: of the base; scene: beside them for one scene in training, and again for each more;
    picture: the same for one picture in drawing."""

    weights: float
    scene: float
    picture: float


def base_memory(spec: JobSpec, cost: BaseCost, low: bool) -> Memory:
    """low: weights and activations in 16 bits."""
    each = 2 if low else 4
    full = spec.extract.tuning == "full"
    stored = cost.unet_weights + cost.text_weights + cost.vae_weights
    trained = cost.factors * (TRAINED_BYTES - (4 if full else 0))  # full tuning trains the weights that are there
    saved = PEAK_OF_SAVED * saved_numbers(spec) * each * (CHECKPOINTED if spec.extract.gradient_checkpointing else 1)
    return Memory(stored * (4 if full else each), trained + saved, _picture(spec, each))


def saved_numbers(spec: JobSpec) -> int:
    """How many numbers the UNet keeps for the backward pass of one scene in the phase that takes the most."""
    settings, seen = spec.extract, dict[int, int]()

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        seen[storage._cdata] = storage.nbytes() // tensor.element_size()
        return tensor

    rows = 2 if settings.phase2.steps and settings.prior.weight > 0 else 1
    with torch.device("meta"), _Fused():
        unet = UNet2DConditionModel.from_config(_config(spec)).eval()
        unet.requires_grad_(settings.tuning == "full")
        _bind(unet, spec)
        given = _inputs(unet, rows)
        given["encoder_hidden_states"].requires_grad_()
        frozen = {parameter.untyped_storage()._cdata for parameter in unet.parameters()}
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            unet(**given)
    return sum(numbers for storage, numbers in seen.items() if storage not in frozen)


class _Fused(TorchFunctionMode):
    """Attention as a fused kernel has it, which keeps what goes in and what comes out; without numbers torch takes the
    way that keeps every weight."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is scaled_dot_product_attention:
            return _Attention.apply(*args[:3])
        return func(*args, **(kwargs or {}))


class _Attention(torch.autograd.Function):
    """Only what it keeps counts: no backward pass is run."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        out = torch.empty_like(query)
        ctx.save_for_backward(query, key, value, out)
        return out


def _bind(unet: UNet2DConditionModel, spec: JobSpec) -> None:
    """Factors of one scene, which train, where phase 2 has some."""
    lora = spec.extract.lora
    if spec.extract.tuning == "full" or not spec.extract.phase2.steps:
        return
    installed = install_lora({"unet": unet}, RowOwners())
    layout = make_layout(installed, lora.rank, False, lora.targets)
    flat = torch.empty(1, layout.parameters, requires_grad=True)
    for site, down, up in layout.pairs(flat):
        installed[site.name].pair = (down, up)


def _config(spec: JobSpec) -> dict[str, Any]:
    return unet_config(bundled(spec.models.base, "models.base"), spec.models.revision)


def _inputs(unet: UNet2DConditionModel, rows: int) -> dict[str, Any]:
    config: Any = unet.config
    size = config.sample_size
    height, width = (size, size) if isinstance(size, int) else size
    given: dict[str, Any] = {
        "sample": torch.empty(rows, config.in_channels, height, width),
        "timestep": torch.zeros(rows, dtype=torch.long),
        "encoder_hidden_states": torch.empty(rows, 77, config.cross_attention_dim),
    }
    if config.addition_embed_type == "text_time":
        pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        given["added_cond_kwargs"] = {"text_embeds": torch.empty(rows, pooled), "time_ids": torch.empty(rows, 6)}
    return given


def _picture(spec: JobSpec, each: int) -> float:
    """The VAE's largest maps, at the picture's side and its first width; the UNet's without a graph are smaller."""
    vae = read_config(bundled(spec.models.base, "models.base"), "vae/config.json", spec.models.revision)
    channels = [int(width) for width in vae["block_out_channels"]]
    size = _config(spec)["sample_size"]
    height, width = (size, size) if isinstance(size, int) else size
    scale = 2 ** (len(channels) - 1)
    widest = channels[min(1, len(channels) - 1)]  # the last upsampling comes before its block narrows
    return float(DECODED_MAPS * widest * height * scale * width * scale * each)

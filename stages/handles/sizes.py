"""How much phase 2 trains for one scene, and what its file takes, from the base's configuration alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from schemas.job import JobSpec
from stages.handles.lora.layout import LoraLayout, LoraSite
from stages.handles.lora.sites import install_lora, make_layout
from stages.handles.row_owners import RowOwners

HEADER_ENTRY = 66
"""About what a tensor takes in a safetensors header besides its name: dtype, shape and offsets. Unit: bytes."""


@dataclass(frozen=True)
class TrainedWeights:
    """What phase 2 trains for one scene beside its handles: how many numbers, and the factors among them, with the
    wrapped layers that take them."""

    numbers: int
    layout: LoraLayout | None = None
    wrappers: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sites(self) -> tuple[LoraSite, ...]:
        return self.layout.sites if self.layout else ()

    def file_bytes(self, handles: int, text_configs: Sequence[dict[str, Any]]) -> int:
        """Size of one scene's file: handles in float32, factors or full weights in float16. Unit: bytes."""
        rows = handles * (sum(int(config["hidden_size"]) for config in text_configs) * 4 + HEADER_ENTRY)
        header = sum(2 * (len(f"{site.name}.lora_A.weight") + HEADER_ENTRY) for site in self.sites)
        return rows + header + 2 * self.numbers


def trained_weights(
    spec: JobSpec, unet: UNet2DConditionModel, text_configs: Sequence[dict[str, Any]]
) -> TrainedWeights:
    """What phase 2 trains for one scene. Wraps the layers of `unet`: count its passes before.

    text_configs: one a text encoder; the second is SDXL's, with a projection.
    """
    lora = spec.extract.lora
    if not spec.extract.phase2.steps:
        return TrainedWeights(0)
    if spec.extract.tuning == "full":
        texts = sum(text_and_projection(config, i) for i, config in enumerate(text_configs))
        return TrainedWeights(count(unet) + texts)
    encoders = {
        f"text_encoder_{number}" if number > 1 else "text_encoder": meta_text_encoder(config)
        for number, config in enumerate(text_configs, 1)
    }
    installed = install_lora({"unet": unet, **encoders}, RowOwners())
    layout = make_layout(installed, lora.rank, lora.text_encoder, lora.targets)
    return TrainedWeights(layout.parameters, layout, installed)


def handle_bytes(
    spec: JobSpec, unet: UNet2DConditionModel, text_configs: Sequence[dict[str, Any]], handles: int = 2
) -> int:
    """Size of one scene's file with so many handles. Unit: bytes."""
    return trained_weights(spec, unet, text_configs).file_bytes(handles, text_configs)


def count(model: torch.nn.Module) -> int:
    """Numbers among its parameters."""
    return sum(p.numel() for p in model.parameters())


def text_and_projection(config: dict[str, Any], number: int) -> int:
    """Weights of a text encoder, with the projection that SDXL's second one has."""
    return text_weights(config) + (int(config["hidden_size"]) * int(config["projection_dim"]) if number else 0)


def text_weights(config: dict[str, Any]) -> int:
    """Weights of a CLIP text encoder without its projection; biases and norms (0.1 %) are left out."""
    hidden = int(config["hidden_size"])
    body = int(config["num_hidden_layers"]) * (4 * hidden * hidden + 2 * hidden * int(config["intermediate_size"]))
    return body + hidden * (int(config["vocab_size"]) + int(config["max_position_embeddings"]))


def meta_text_encoder(config: dict[str, Any]) -> CLIPTextModel:
    """A text encoder without weights, for the sizes of its layers: how many heads share them does not matter."""
    with torch.device("meta"):
        return CLIPTextModel(CLIPTextConfig(**{**config, "num_attention_heads": 1})).eval()

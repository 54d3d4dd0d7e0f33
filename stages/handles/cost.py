"""What a scene costs, from the base's configuration alone: for `unscene plan`. No weights are loaded.

FLOPs count a multiply-add as 2. The UNet's forward pass is counted by torch's own counter on the meta device;
backward passes by the ratios measured for SD 2.1-base (docs: forward 0.804 TFLOP; with backward 1.67 to the
text context only, 1.73 through frozen weights, 2.41 with all weights).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPTextConfig, CLIPTextModel

from schemas.job import JobSpec
from stages.handles.lora.sites import install_lora, make_layout
from stages.handles.row_owners import RowOwners
from stages.models.base.layout import check_layout, read_config, text_encoder_names, unet_config
from stages.models.place import bundled

TO_CONTEXT, THROUGH_FROZEN, ALL_WEIGHTS = 1.67 / 0.804, 1.73 / 0.804, 2.41 / 0.804
"""FLOPs of forward and backward as a multiple of forward: phase 1; LoRA; full tuning."""


def scene_cost(spec: JobSpec) -> dict[str, float]:
    """Costs of one scene; text encoders and the VAE are left out (under 2 % of the training).

    forward_tflop: UNet, one sample; train_tflop: both phases; generate_tflop_picture: all sampler steps of
    one picture; handle_bytes: size of the scene's file with two handles (a handle more is 4 d bytes).
    """
    base, revision = bundled(spec.models.base, "models.base"), spec.models.revision
    index = check_layout(base, revision)
    unet = meta_unet(unet_config(base, revision))
    text_configs = [read_config(base, f"{name}/config.json", revision) for name in text_encoder_names(index)]
    extract, generate = spec.extract, spec.generate
    forward = unet_forward_tflop(unet, int(text_configs[0].get("max_position_embeddings", 77)))
    per_phase2 = ALL_WEIGHTS if extract.tuning == "full" else THROUGH_FROZEN
    samples = 2 if extract.prior.weight > 0 else 1
    guided = 2 if generate.guidance > 1 else 1
    prior_guided = 2 if extract.prior.guidance > 1 else 1
    return {
        "forward_tflop": forward,
        "train_tflop": forward * (extract.phase1.steps * TO_CONTEXT + extract.phase2.steps * samples * per_phase2),
        "generate_tflop_picture": forward * generate.steps * guided,
        "prior_set_tflop": forward * extract.prior.images * extract.prior.steps * prior_guided,
        "handle_bytes": float(handle_bytes(spec, unet, text_configs)),
    }


def meta_unet(config: dict[str, Any]) -> UNet2DConditionModel:
    """The UNet without weights."""
    with torch.device("meta"):
        return UNet2DConditionModel.from_config(config).eval()


def meta_text_encoder(config: dict[str, Any]) -> CLIPTextModel:
    """A text encoder without weights, for the sizes of its layers: how many heads share them does not matter."""
    with torch.device("meta"):
        return CLIPTextModel(CLIPTextConfig(**{**config, "num_attention_heads": 1})).eval()


def unet_forward_tflop(unet: UNet2DConditionModel, tokens: int) -> float:
    """Forward pass of one sample at the model's own size; unet: on the meta device. Unit: TFLOP."""
    size = unet.config.sample_size
    height, width = (size, size) if isinstance(size, int) else size
    latents = torch.empty(1, unet.config.in_channels, height, width, device="meta")
    states = torch.empty(1, tokens, unet.config.cross_attention_dim, device="meta")
    added = None
    if unet.config.addition_embed_type == "text_time":
        pooled = unet.config.projection_class_embeddings_input_dim - 6 * unet.config.addition_time_embed_dim
        added = {"text_embeds": torch.empty(1, pooled, device="meta"), "time_ids": torch.empty(1, 6, device="meta")}
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        unet(latents, torch.zeros(1, device="meta"), encoder_hidden_states=states, added_cond_kwargs=added)
    return counter.get_total_flops() / 1e12


HEADER_ENTRY = 66
"""About what a tensor takes in a safetensors header besides its name: dtype, shape and offsets. Unit: bytes."""


def handle_bytes(
    spec: JobSpec, unet: UNet2DConditionModel, text_configs: Sequence[dict[str, Any]], handles: int = 2
) -> int:
    """Size of one scene's file: handles in float32, factors or full weights in float16. Unit: bytes.

    text_configs: one a text encoder; the second is SDXL's, with a projection.
    """
    rows = handles * (sum(int(config["hidden_size"]) for config in text_configs) * 4 + HEADER_ENTRY)
    if not spec.extract.phase2.steps:
        return rows
    if spec.extract.tuning == "full":
        texts = sum(text_weights(config) for config in text_configs)
        texts += sum(int(c["hidden_size"]) * int(c["projection_dim"]) for c in text_configs[1:])
        return rows + 2 * (sum(p.numel() for p in unet.parameters()) + texts)
    lora = spec.extract.lora
    encoders = {
        f"text_encoder_{number}" if number > 1 else "text_encoder": meta_text_encoder(config)
        for number, config in enumerate(text_configs, 1)
    }
    layout = make_layout(
        install_lora({"unet": unet, **encoders}, RowOwners()), lora.rank, lora.text_encoder, lora.targets
    )
    header = sum(2 * (len(f"{site.name}.lora_A.weight") + HEADER_ENTRY) for site in layout.sites)
    return rows + header + 2 * layout.parameters


def text_weights(config: dict[str, Any]) -> int:
    """Weights of a CLIP text encoder without its projection; biases and norms (0.1 %) are left out."""
    hidden = int(config["hidden_size"])
    body = int(config["num_hidden_layers"]) * (4 * hidden * hidden + 2 * hidden * int(config["intermediate_size"]))
    return body + hidden * (int(config["vocab_size"]) + int(config["max_position_embeddings"]))

"""What a scene costs, from the base's configuration alone: for `unscene plan`. No weights are loaded.

FLOPs count a multiply-add as 2. The UNet's forward pass is counted by torch's own counter on the meta device;
backward passes by the ratios measured for SD 2.1-base (docs: forward 0.804 TFLOP; with backward 1.67 to the
text context only, 1.73 through frozen weights, 2.41 with all weights).
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPTextConfig, CLIPTextModel

from schemas.job import JobSpec
from stages.base_model import bundled, check_layout, read_config
from stages.extract.row_owners import RowOwners
from stages.extract.scene_lora import install_lora, make_layout

TO_CONTEXT, THROUGH_FROZEN, ALL_WEIGHTS = 1.67 / 0.804, 1.73 / 0.804, 2.41 / 0.804
"""FLOPs of forward and backward as a multiple of forward: phase 1; LoRA; full tuning."""


def scene_cost(spec: JobSpec) -> dict[str, float]:
    """Costs of one scene; the text encoder and the VAE are left out (under 2 % of the training).

    forward_tflop: UNet, one sample; train_tflop: both phases; generate_tflop_picture: all sampler steps of
    one picture; handle_bytes: size of the scene's file with two handles (a handle more is 4 d bytes).
    """
    base, revision = bundled(spec.models.base, "base"), spec.models.revision
    check_layout(base, revision)
    unet_config = read_config(base, "unet/config.json", revision)
    text_config = read_config(base, "text_encoder/config.json", revision)
    extract, generate = spec.extract, spec.generate
    forward = unet_forward_tflop(unet_config, int(text_config.get("max_position_embeddings", 77)))
    per_phase2 = ALL_WEIGHTS if extract.tuning == "full" else THROUGH_FROZEN
    samples = 2 if extract.prior.weight > 0 else 1
    guided = 2 if generate.guidance > 1 else 1
    prior_guided = 2 if extract.prior.guidance > 1 else 1
    return {
        "forward_tflop": forward,
        "train_tflop": forward * (extract.phase1.steps * TO_CONTEXT
                                  + extract.phase2.steps * samples * per_phase2),
        "generate_tflop_picture": forward * generate.steps * guided,
        "prior_set_tflop": forward * extract.prior.images * extract.prior.steps * prior_guided,
        "handle_bytes": float(handle_bytes(spec, unet_config, text_config)),
    }


def meta_unet(config: dict[str, Any]) -> UNet2DConditionModel:
    """The UNet without weights."""
    with torch.device("meta"):
        return UNet2DConditionModel.from_config(config).eval()


def meta_text_encoder(config: dict[str, Any]) -> CLIPTextModel:
    """The text encoder without weights, for the sizes of its layers: how many heads share them does not matter."""
    with torch.device("meta"):
        return CLIPTextModel(CLIPTextConfig(**{**config, "num_attention_heads": 1})).eval()


def unet_forward_tflop(config: dict[str, Any], tokens: int) -> float:
    """Forward pass of one sample at the model's own size. Unit: TFLOP."""
    unet = meta_unet(config)
    size = unet.config.sample_size
    height, width = (size, size) if isinstance(size, int) else size
    latents = torch.empty(1, unet.config.in_channels, height, width, device="meta")
    states = torch.empty(1, tokens, unet.config.cross_attention_dim, device="meta")
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        unet(latents, torch.zeros(1, device="meta"), encoder_hidden_states=states)
    return counter.get_total_flops() / 1e12


HEADER_ENTRY = 66
"""About what a tensor takes in a safetensors header besides its name: dtype, shape and offsets. Unit: bytes."""


def handle_bytes(spec: JobSpec, unet_config: dict[str, Any], text_config: dict[str, Any],
                 handles: int = 2) -> int:
    """Size of one scene's file: handles in float32, factors or full weights in float16. Unit: bytes."""
    hidden, layers = int(text_config["hidden_size"]), int(text_config["num_hidden_layers"])
    rows = handles * (hidden * 4 + HEADER_ENTRY)
    if not spec.extract.phase2.steps:
        return rows
    unet = meta_unet(unet_config)
    if spec.extract.tuning == "full":
        body = layers * (4 * hidden * hidden + 2 * hidden * int(text_config["intermediate_size"]))
        tables = hidden * (int(text_config["vocab_size"]) + int(text_config["max_position_embeddings"]))
        return rows + 2 * (sum(p.numel() for p in unet.parameters()) + body + tables)
    lora = spec.extract.lora
    installed = install_lora({"unet": unet, "text_encoder": meta_text_encoder(text_config)}, RowOwners())
    layout = make_layout(installed, lora.rank, lora.text_encoder, lora.targets)
    header = sum(2 * (len(f"{site.name}.lora_A.weight") + HEADER_ENTRY) for site in layout.sites)
    return rows + header + 2 * layout.parameters

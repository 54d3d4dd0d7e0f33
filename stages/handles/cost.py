"""What a scene costs, from the base's configuration alone: for `unscene plan`. No weights are loaded.

FLOPs count a multiply-add as 2. The UNet's forward pass is counted by torch's own counter on the meta device;
backward passes by the ratios measured for SD 2.1-base (docs: forward 0.804 TFLOP; with backward 1.67 to the
text context only, 1.73 through frozen weights, 2.41 with all weights).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPTextConfig, CLIPTextModel

from schemas.job import JobSpec
from stages.handles.lora.layout import LoraSite
from stages.handles.lora.sites import install_lora, make_layout
from stages.handles.row_owners import RowOwners
from stages.models.base.layout import check_layout, read_config, text_encoder_names, unet_config
from stages.models.place import bundled

TO_CONTEXT, THROUGH_FROZEN, ALL_WEIGHTS = 1.67 / 0.804, 1.73 / 0.804, 2.41 / 0.804
"""FLOPs of forward and backward as a multiple of forward: phase 1; LoRA; full tuning."""
TEXT_THROUGH_FROZEN, TEXT_ALL_WEIGHTS = 2.0, 3.0
"""The same of a text encoder, which is linear layers nearly throughout: a product for the input's gradient, and one
more for the weights'."""


def scene_cost(spec: JobSpec) -> dict[str, float]:
    """Costs of one scene: the UNet, the text encoders and the VAE. Prompts of pictures are left out (a prompt is
    encoded once for all its pictures).

    forward_tflop: UNet, one sample; train_tflop: both phases; generate_tflop_picture: all sampler steps of
    one picture and its decoding; handle_bytes: size of the scene's file with two handles (a handle more is 4 d bytes);
    unet_weights, text_weights, vae_weights: how many there are; factors: numbers that phase 2 trains for one scene.
    """
    base, revision = bundled(spec.models.base, "models.base"), spec.models.revision
    index = check_layout(base, revision)
    unet = meta_unet(unet_config(base, revision))
    vae = meta_vae(read_config(base, "vae/config.json", revision))
    text_configs = [read_config(base, f"{name}/config.json", revision) for name in text_encoder_names(index)]
    extract, generate = spec.extract, spec.generate
    tokens = int(text_configs[0].get("max_position_embeddings", 77))
    forward, text = unet_forward_tflop(unet, tokens), sum(text_tflop(config, tokens) for config in text_configs)
    encode, decode = vae_tflop(vae, unet)
    full = extract.tuning == "full"
    per_phase2 = ALL_WEIGHTS if full else THROUGH_FROZEN
    samples = 2 if extract.prior.weight > 0 else 1
    guided = 2 if generate.guidance > 1 else 1
    prior_guided = 2 if extract.prior.guidance > 1 else 1
    one, two = extract.phase1.steps, extract.phase2.steps
    texts = one * TEXT_THROUGH_FROZEN
    if extract.trains_text_encoder:
        texts += two * samples * (TEXT_ALL_WEIGHTS if full else TEXT_THROUGH_FROZEN)
    else:  # the prior's prompt is encoded once
        texts += two * TEXT_THROUGH_FROZEN
    pictures = one + two if extract.picture == "pasted" else 2  # anew every step; else it and its mirror image
    trained = trained_weights(spec, unet, text_configs)
    return {
        "forward_tflop": forward,
        "train_tflop": forward * (one * TO_CONTEXT + two * samples * per_phase2) + text * texts + pictures * encode,
        "generate_tflop_picture": forward * generate.steps * guided + decode,
        "prior_set_tflop": forward * extract.prior.images * extract.prior.steps * prior_guided,
        "handle_bytes": float(trained.file_bytes(2, text_configs)),
        "unet_weights": float(_count(unet)),
        "text_weights": float(sum(_text_and_projection(config, i) for i, config in enumerate(text_configs))),
        "vae_weights": float(_count(vae)),
        "factors": float(trained.numbers),
    }


def meta_unet(config: dict[str, Any]) -> UNet2DConditionModel:
    """The UNet without weights."""
    with torch.device("meta"):
        return UNet2DConditionModel.from_config(config).eval()


def meta_vae(config: dict[str, Any]) -> AutoencoderKL:
    """The VAE without weights."""
    with torch.device("meta"):
        return AutoencoderKL.from_config(config).eval()


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


def vae_tflop(vae: AutoencoderKL, unet: UNet2DConditionModel) -> tuple[float, float]:
    """Encoding and decoding one picture of the base's own size; both models on the meta device. Unit: TFLOP."""
    size = unet.config.sample_size
    height, width = (size, size) if isinstance(size, int) else size
    scale = 2 ** (len(vae.config.block_out_channels) - 1)
    picture = torch.empty(1, vae.config.in_channels, height * scale, width * scale, device="meta")
    latents = torch.empty(1, vae.config.latent_channels, height, width, device="meta")
    found = []
    for part, given in ((vae.encoder, picture), (vae.decoder, latents)):
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            part(given)
        found.append(counter.get_total_flops() / 1e12)
    return found[0], found[1]


def text_tflop(config: dict[str, Any], tokens: int) -> float:
    """Forward pass of one prompt. Attention between tokens (under 2 %) is left out. Unit: TFLOP."""
    hidden = int(config["hidden_size"])
    layer = 4 * hidden * hidden + 2 * hidden * int(config["intermediate_size"])
    return 2 * tokens * layer * int(config["num_hidden_layers"]) / 1e12


HEADER_ENTRY = 66
"""About what a tensor takes in a safetensors header besides its name: dtype, shape and offsets. Unit: bytes."""


@dataclass(frozen=True)
class TrainedWeights:
    """What phase 2 trains for one scene beside its handles: how many numbers, and the sites of factors among them."""

    numbers: int
    sites: tuple[LoraSite, ...] = ()

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
        texts = sum(_text_and_projection(config, i) for i, config in enumerate(text_configs))
        return TrainedWeights(_count(unet) + texts)
    encoders = {
        f"text_encoder_{number}" if number > 1 else "text_encoder": meta_text_encoder(config)
        for number, config in enumerate(text_configs, 1)
    }
    layout = make_layout(
        install_lora({"unet": unet, **encoders}, RowOwners()), lora.rank, lora.text_encoder, lora.targets
    )
    return TrainedWeights(layout.parameters, layout.sites)


def handle_bytes(
    spec: JobSpec, unet: UNet2DConditionModel, text_configs: Sequence[dict[str, Any]], handles: int = 2
) -> int:
    """Size of one scene's file with so many handles. Unit: bytes."""
    return trained_weights(spec, unet, text_configs).file_bytes(handles, text_configs)


def _count(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def _text_and_projection(config: dict[str, Any], number: int) -> int:
    """Weights of a text encoder, with the projection that SDXL's second one has."""
    return text_weights(config) + (int(config["hidden_size"]) * int(config["projection_dim"]) if number else 0)


def text_weights(config: dict[str, Any]) -> int:
    """Weights of a CLIP text encoder without its projection; biases and norms (0.1 %) are left out."""
    hidden = int(config["hidden_size"])
    body = int(config["num_hidden_layers"]) * (4 * hidden * hidden + 2 * hidden * int(config["intermediate_size"]))
    return body + hidden * (int(config["vocab_size"]) + int(config["max_position_embeddings"]))

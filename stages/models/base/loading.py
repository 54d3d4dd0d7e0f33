"""Loading the frozen base model: tokenizers, text encoders, UNet, VAE and the scheduler's configuration.

safetensors only and no remote code (invariant 7): a directory whose weights are pickles is refused with a
remedy.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from schemas.errors import SpecError
from stages.models.base.base_model import BaseModel, overflows
from stages.models.base.layout import check_layout, repair, text_encoder_names


def load_base(base: str, revision: str | None, dtype: torch.dtype, device: torch.device | str) -> BaseModel:
    """The base model from a directory or the Hub, in StableDiffusionPipeline or StableDiffusionXLPipeline
    layout. Raises a SpecError that names models.base and the remedy.
    """
    index = check_layout(base, revision)
    second = len(text_encoder_names(index)) > 1
    where: dict[str, Any] = {"revision": revision}
    try:
        tokenizer = CLIPTokenizer.from_pretrained(base, subfolder="tokenizer", **where)
        text_encoder = CLIPTextModel.from_pretrained(
            base, subfolder="text_encoder", dtype=dtype, use_safetensors=True, **where
        )
        unet = UNet2DConditionModel.from_pretrained(
            base, subfolder="unet", torch_dtype=dtype, use_safetensors=True, **where
        )
        unet.register_to_config(**repair(unet.config))
        vae_config = AutoencoderKL.load_config(base, subfolder="vae", **where)
        vae_dtype = torch.float32 if second and overflows(vae_config, dtype) else dtype
        vae = AutoencoderKL.from_pretrained(base, subfolder="vae", torch_dtype=vae_dtype, use_safetensors=True, **where)
        scheduler = dict(DDIMScheduler.load_config(base, subfolder="scheduler", **where))
        tokenizer_2 = text_encoder_2 = None
        if second:
            tokenizer_2 = CLIPTokenizer.from_pretrained(base, subfolder="tokenizer_2", **where)
            text_encoder_2 = CLIPTextModelWithProjection.from_pretrained(
                base, subfolder="text_encoder_2", dtype=dtype, use_safetensors=True, **where
            )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise SpecError(
            f"models.base: {base} could not be loaded ({type(error).__name__}: "
            f"{str(error).strip().splitlines()[0]}); it must be in StableDiffusionPipeline "
            f"or StableDiffusionXLPipeline layout with safetensors weights: save it with "
            f"save_pretrained(..., safe_serialization=True)"
        ) from error
    _check_parts(base, unet, scheduler)
    if text_encoder_2 is not None:
        _check_xl(base, unet, vae, text_encoder, text_encoder_2)
    device = torch.device(device)
    loaded = BaseModel(
        tokenizer,
        text_encoder,
        unet,
        vae,
        scheduler,
        dtype,
        device,
        tokenizer_2,
        text_encoder_2,
        second and bool(index.get("force_zeros_for_empty_prompt", True)),
    )
    for part in (*loaded.text_encoders.values(), unet, vae):
        part.to(device).eval().requires_grad_(False)
        # Norms compute in float32 under autocast, and on a CPU refuse other weights then.
        for module in part.modules():
            if isinstance(module, (torch.nn.LayerNorm, torch.nn.GroupNorm)):
                module.float()
    return loaded


def _check_parts(base: str, unet: UNet2DConditionModel, scheduler: dict[str, Any]) -> None:
    if unet.config.in_channels != unet.config.out_channels:
        raise SpecError(
            f"models.base: {base} is not a plain text-to-image model (its UNet takes "
            f"{unet.config.in_channels} channels and gives {unet.config.out_channels}); "
            f"inpainting, depth and upscaling models do not fit: name an SD 1.x, SD 2.x "
            f"or SDXL model"
        )
    kind = scheduler.get("prediction_type", "epsilon")
    if kind not in ("epsilon", "v_prediction", "sample"):
        raise SpecError(f"models.base: {base} predicts {kind!r}; epsilon, v_prediction and sample are supported")


def _check_xl(
    base: str, unet: UNet2DConditionModel, vae: AutoencoderKL, first: CLIPTextModel, second: CLIPTextModelWithProjection
) -> None:
    """That the parts are those of a plain SDXL: what is fed to them elsewhere follows from it."""
    config, width = unet.config, first.config.hidden_size + second.config.hidden_size
    if config.addition_embed_type != "text_time":
        raise SpecError(
            f"models.base: {base} has two text encoders, but its UNet takes no pooled text and "
            f"sizes (addition_embed_type {config.addition_embed_type!r}, not 'text_time'); name an "
            f"SDXL model"
        )
    extra = second.config.projection_dim + 6 * config.addition_time_embed_dim
    if config.cross_attention_dim != width or config.projection_class_embeddings_input_dim != extra:
        raise SpecError(
            f"models.base: the parts of {base} do not fit together: its UNet reads text of width "
            f"{config.cross_attention_dim} and {config.projection_class_embeddings_input_dim} "
            f"added features, its text encoders give {width} and {extra}; name an SDXL base "
            f"model"
        )
    if getattr(vae.config, "latents_mean", None) is not None:
        raise SpecError(
            f"models.base: the VAE of {base} shifts its latents by channel (latents_mean), which "
            f"is not supported; name an SDXL model without it"
        )

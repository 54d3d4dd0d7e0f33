"""Between pictures and latents, through the base's autoencoder."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.models.base.base_model import BaseModel

DECODE_AT_ONCE = 4


@torch.no_grad()
def decode_latents(base: BaseModel, latents: Tensor) -> NDArray[np.uint8]:
    """[R, C, h, w] -> pictures [R, H, W, 3]. A few at a time: the VAE takes the most memory of all."""
    shift = getattr(base.vae.config, "shift_factor", None) or 0.0
    scaled = latents / base.vae.config.scaling_factor + shift
    pictures = []
    for part in scaled.split(DECODE_AT_ONCE):
        with base.vae_arithmetic():
            decoded = base.vae.decode(part.to(base.vae.dtype), return_dict=False)[0].float()
        pictures.append((decoded / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).cpu())
    return (torch.cat(pictures).numpy() * 255).round().astype(np.uint8)


@torch.no_grad()
def encode_pictures(base: BaseModel, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """pictures: [R, 3, H, W] in [-1, 1] -> mean and std of their latents [R, C, h, w], float32, times the
    VAE's scaling factor, on the device.
    """
    with base.vae_arithmetic():
        moments = base.vae.encode(pictures.to(base.device, base.vae.dtype)).latent_dist
    scale = base.vae.config.scaling_factor
    shift = getattr(base.vae.config, "shift_factor", None) or 0.0
    return (((moments.mean.float() - shift) * scale).contiguous(), (moments.std.float() * scale).contiguous())

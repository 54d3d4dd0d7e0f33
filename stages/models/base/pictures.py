"""Between pictures and latents, through the base's autoencoder.

A VAE that overflows in half precision gives numbers that are not finite, and a picture of those is black. So what comes
out is looked at here: what is not finite is made once more in float32, each picture for itself, whatever else is in
the batch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.models.base.base_model import BaseModel

DECODE_AT_ONCE = 4

log = logging.getLogger(__name__)


@torch.no_grad()
def decode_latents(base: BaseModel, latents: Tensor) -> NDArray[np.uint8]:
    """[R, C, h, w] -> pictures [R, H, W, 3]. A few at a time: the VAE takes the most memory of all.

    What is not finite is black; `decode_sound` tells which pictures are.
    """
    return decode_sound(base, latents)[0]


@torch.no_grad()
def decode_sound(base: BaseModel, latents: Tensor) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """As `decode_latents`, with bool [R]: which pictures are finite, if need be in float32."""
    shift = getattr(base.vae.config, "shift_factor", None) or 0.0
    scaled = latents / base.vae.config.scaling_factor + shift

    def decode(part: Tensor) -> Tensor:
        return base.vae.decode(part.to(base.vae.dtype), return_dict=False)[0].float()

    pictures, sound = [], []
    for part in scaled.split(DECODE_AT_ONCE):
        decoded, finite = _finite(base, decode, part, "decoding")
        pictures.append((decoded.nan_to_num(-1.0, -1.0, -1.0) / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).cpu())
        sound.append(finite)
    return (torch.cat(pictures).numpy() * 255).round().astype(np.uint8), torch.cat(sound).numpy()


@torch.no_grad()
def encode_pictures(base: BaseModel, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """pictures: [R, 3, H, W] in [-1, 1] -> mean and std of their latents [R, C, h, w], float32, times the
    VAE's scaling factor, on the device. Not finite where they are not in float32 either.
    """

    def encode(part: Tensor) -> Tensor:
        moments = base.vae.encode(part.to(base.device, base.vae.dtype)).latent_dist
        return torch.stack([moments.mean.float(), moments.std.float()], dim=1)

    (mean, std), scale = _finite(base, encode, pictures, "encoding")[0].unbind(1), base.vae.config.scaling_factor
    shift = getattr(base.vae.config, "shift_factor", None) or 0.0
    return ((mean - shift) * scale).contiguous(), (std * scale).contiguous()


def _finite(base: BaseModel, work: Callable[[Tensor], Tensor], rows: Tensor, what: str) -> tuple[Tensor, Tensor]:
    """What the VAE makes of the rows [R, ...], and bool [R] on the CPU: which are finite. Those that are not are made
    once more in float32, if that is not what they were made in."""
    with base.vae_arithmetic():
        made = work(rows)
    finite = _sound(made)
    if finite.all() or not base.vae_is_low:
        return made, finite
    wrong = (~finite).nonzero().flatten()
    log.warning(
        "models.base: its VAE is not finite in models.dtype for %d of %d pictures; %s them in float32",
        len(wrong),
        len(rows),
        what,
    )
    with base.vae_in_float32():
        made[wrong.to(made.device)] = work(rows[wrong.to(rows.device)])
    return made, _sound(made)


def _sound(made: Tensor) -> Tensor:
    return torch.isfinite(made).flatten(1).all(1).cpu()

"""Encoded scenes with ready captions, on the training device, so that training the UNet waits for nothing."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

CAPTIONS = 6
"""Captions drawn for each scene."""


@dataclass(frozen=True)
class Batch:
    """latents: float [b, 4, h, w], scaled, of about unit standard deviation; covered: float [b, 1, h, w], how much of
    each place objects cover; token_ids: int64 [b, 32], of one of each scene's captions; parts: uint8 [b, 3, 32, 32],
    see `dense.parts_of`."""

    latents: Tensor
    covered: Tensor
    token_ids: Tensor
    parts: Tensor


@dataclass(frozen=True)
class EncodedScenes:
    """moments: fp16 [n, 8, h, w], mean then standard deviation; covered: fp16 [n, 1, h, w], the share of each place
    that objects cover; token_ids: int16 [n, CAPTIONS, 32]; parts: uint8 [n, 3, 32, 32], see
    `dense.parts_of`; all on the training device. scaling_factor: the autoencoder's."""

    moments: Tensor
    covered: Tensor
    token_ids: Tensor
    parts: Tensor
    scaling_factor: float

    def joined(self, more: EncodedScenes) -> EncodedScenes:
        """These scenes, then `more`, of the same autoencoder."""
        names = ("moments", "covered", "token_ids", "parts")
        both = [torch.cat([getattr(self, name), getattr(more, name)]) for name in names]
        return EncodedScenes(*both, self.scaling_factor)

    def draw(self, batch: int, noise: torch.Generator) -> Batch:
        """Random scenes. `noise`: a generator of the same device."""
        device = self.moments.device
        rows = torch.randint(len(self.moments), (batch,), generator=noise, device=device)
        caption = torch.randint(self.token_ids.shape[1], (batch,), generator=noise, device=device)
        mean, std = self.moments[rows].float().chunk(2, dim=1)
        sample = mean + std * torch.randn(mean.shape, generator=noise, device=device)
        return Batch(
            sample * self.scaling_factor,
            self.covered[rows].float(),
            self.token_ids[rows, caption].long(),
            self.parts[rows],
        )

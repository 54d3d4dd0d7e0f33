"""The forward process of the base model: noisy latents and what the UNet is asked to predict, in float32."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import DDPMScheduler
from torch import Tensor

from stages.models.base.process import KEPT


class NoiseSchedule:
    """process: see `stages.models.base.process`. alpha_bar: [timesteps]; prediction_type: epsilon, v_prediction or
    sample.
    """

    def __init__(self, process: Mapping[str, Any], device: torch.device | str = "cpu") -> None:
        scheduler = DDPMScheduler.from_config({key: process[key] for key in KEPT if key in process})
        self.timesteps = int(scheduler.config.num_train_timesteps)
        self.prediction_type = str(scheduler.config.prediction_type)
        self.alpha_bar = scheduler.alphas_cumprod.float().to(device)

    def noisy(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """x_t = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) noise. latents, noise: [R, C, h, w]; timesteps:
        [R].
        """
        signal, spread = self._scales(timesteps)
        return signal * latents + spread * noise

    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What the UNet should say about `noisy(...)`; same shapes."""
        if self.prediction_type == "epsilon":
            return noise
        if self.prediction_type == "sample":
            return latents
        signal, spread = self._scales(timesteps)
        return signal * noise - spread * latents

    def _scales(self, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        alpha = self.alpha_bar[timesteps][:, None, None, None]
        return alpha.sqrt(), (1.0 - alpha).sqrt()

"""Sampling from the base model, bit for bit in the order in which its diffusers pipeline does it.

Initial latents come from one CPU generator a picture, so that a picture depends on its own seed and not on
the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    UniPCMultistepScheduler,
)
from torch import Tensor

from stages.models.base.text_states import TextStates

SCHEDULERS = {
    "dpmsolver++": DPMSolverMultistepScheduler,
    "ddim": DDIMScheduler,
    "euler": EulerDiscreteScheduler,
    "unipc": UniPCMultistepScheduler,
}

Predict = Callable[[Tensor, Tensor, TextStates], Tensor]
"""(latents [R, C, h, w], timesteps [R], text of R rows) -> the UNet's output [R, C, h, w]."""


def make_scheduler(name: str, config: dict[str, Any]) -> Any:
    """A diffusers scheduler with the base's own noise schedule; DPM-Solver++ is the second-order multistep
    one.
    """
    return SCHEDULERS[name].from_config(config)


def initial_latents(seeds: Sequence[int], shape: Sequence[int]) -> Tensor:
    """[R, C, h, w], float32, on the CPU; shape: (C, h, w)."""
    return torch.cat([torch.randn((1, *shape), generator=torch.Generator("cpu").manual_seed(seed)) for seed in seeds])


@torch.no_grad()
def denoise(
    predict: Predict,
    scheduler: Any,
    latents: Tensor,
    steps: int,
    guidance: float,
    text: TextStates,
    negative: TextStates | None,
) -> Tensor:
    """From noise to latents [R, C, h, w]. text, negative: R rows each.

    With guidance > 1 and `negative`, `predict` gets 2 R rows: all negative ones first.
    """
    guided = guidance > 1 and negative is not None
    scheduler.set_timesteps(steps, device=latents.device)
    latents = latents * scheduler.init_noise_sigma
    context = TextStates.cat([negative, text]) if guided and negative is not None else text
    for timestep in scheduler.timesteps:
        rows = scheduler.scale_model_input(torch.cat([latents, latents]) if guided else latents, timestep)
        output = predict(rows, timestep.expand(rows.shape[0]), context)
        if guided:
            without, with_prompt = output.chunk(2)
            output = without + guidance * (with_prompt - without)
        latents = scheduler.step(output, timestep, latents, return_dict=False)[0]
    return latents

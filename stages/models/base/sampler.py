"""Sampling from the base model, bit for bit in the order in which its diffusers pipeline does it.

Initial latents come from one CPU generator a picture, and no sampler draws anything more, so that a picture depends
on its own seed and not on the batch.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    UniPCMultistepScheduler,
)
from torch import Tensor

from stages.models.base.process import KEPT
from stages.models.base.text_states import TextStates

SCHEDULERS = {
    "dpmsolver++": DPMSolverMultistepScheduler,
    "ddim": DDIMScheduler,
    "euler": EulerDiscreteScheduler,
    "unipc": UniPCMultistepScheduler,
}
OWN: dict[str, dict[str, Any]] = {"ddim": {"clip_sample": False}}
"""Where a sampler's default is not for latents: DDIM's cuts them at 1."""

Predict = Callable[[Tensor, Tensor, TextStates], Tensor]
"""(latents [R, C, h, w], timesteps [R], text of R rows) -> the UNet's output [R, C, h, w]."""
Hold = Callable[[Tensor, Any, int], Tensor]
"""(latents [R, C, h, w], scheduler, step) -> the same, a part of them as it is to be before that step, or after the
last one."""


def make_scheduler(name: str, process: Mapping[str, Any]) -> Any:
    """A diffusers scheduler over the base's own process (`stages.models.base.process`), which nothing else of a
    configuration reaches: deterministic, without clipping; DPM-Solver++ is the second-order multistep one.
    """
    kind = SCHEDULERS[name]
    known = inspect.signature(kind).parameters
    return kind(**{key: process[key] for key in KEPT if key in process and key in known}, **OWN.get(name, {}))


def set_steps(scheduler: Any, steps: int, device: torch.device) -> None:
    """`scheduler.set_timesteps`, for exactly `steps` steps.

    With trailing spacing diffusers counts by a fraction and for some numbers (61, 103, 121 of 1000) appends a step at
    timestep -1, which DDIM takes for the noisiest one.
    """
    scheduler.set_timesteps(steps, device=device)
    if len(scheduler.timesteps) > steps:
        scheduler.timesteps = scheduler.timesteps[:steps]
        scheduler.num_inference_steps = steps
        if hasattr(scheduler, "sigmas"):
            scheduler.sigmas = torch.cat([scheduler.sigmas[:steps], scheduler.sigmas[-1:]])


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
    hold: Hold | None = None,
) -> Tensor:
    """From noise to latents [R, C, h, w]. text, negative: R rows each.

    With guidance > 1 and `negative`, `predict` gets 2 R rows: all negative ones first. hold: what keeps a part of the
    latents from being drawn.
    """
    guided = guidance > 1 and negative is not None
    set_steps(scheduler, steps, latents.device)
    latents = latents * scheduler.init_noise_sigma
    context = TextStates.cat([negative, text]) if guided and negative is not None else text
    for step, timestep in enumerate(scheduler.timesteps):
        latents = hold(latents, scheduler, step) if hold else latents
        rows = scheduler.scale_model_input(torch.cat([latents, latents]) if guided else latents, timestep)
        output = predict(rows, timestep.expand(rows.shape[0]), context)
        if guided:
            without, with_prompt = output.chunk(2)
            output = without + guidance * (with_prompt - without)
        latents = scheduler.step(output, timestep, latents, return_dict=False)[0]
    return hold(latents, scheduler, len(scheduler.timesteps)) if hold else latents

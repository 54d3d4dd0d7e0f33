"""Sampling from the base model, bit for bit in the order in which its diffusers pipeline does it.

Initial latents come from one CPU generator a picture. What a sampler of `STOCHASTIC` draws in between comes from the
same one, and no other sampler draws anything more: so a picture depends on its own seed and not on the batch.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    TCDScheduler,
    UniPCMultistepScheduler,
)
from torch import Tensor

from schemas.errors import SpecError
from schemas.generate import Generate
from stages.models.base.process import KEPT
from stages.models.base.text_states import TextStates

SCHEDULERS = {
    "dpmsolver++": DPMSolverMultistepScheduler,
    "ddim": DDIMScheduler,
    "euler": EulerDiscreteScheduler,
    "unipc": UniPCMultistepScheduler,
    "ddim_trailing": DDIMScheduler,
    "euler_trailing": EulerDiscreteScheduler,
    "lcm": LCMScheduler,
    "tcd": TCDScheduler,
}
OWN: dict[str, dict[str, Any]] = {
    "ddim": {"clip_sample": False},
    "ddim_trailing": {"clip_sample": False, "timestep_spacing": "trailing"},
    "euler_trailing": {"timestep_spacing": "trailing"},
}
"""Where a sampler's default is not for latents: DDIM's cuts them at 1; and where its name says what the base's process
does not."""
STOCHASTIC = (LCMScheduler, TCDScheduler)
"""These add noise between their steps; TCD as much as its eta of 0.3 asks for, diffusers' default."""

Predict = Callable[[Tensor, Tensor, TextStates], Tensor]
"""(latents [R, C, h, w], timesteps [R], text of R rows) -> the UNet's output [R, C, h, w]."""
Interval = tuple[float, float] | None
"""(low, high) of the noise levels at which guidance is on; None: at all."""
Hold = Callable[[Tensor, Any, int], Tensor]
"""(latents [R, C, h, w], scheduler, step) -> the same, a part of them as it is to be before that step, or after the
last one."""


def make_scheduler(name: str, process: Mapping[str, Any]) -> Any:
    """A diffusers scheduler over the base's own process (`stages.models.base.process`), which nothing else of a
    configuration reaches: without clipping, deterministic but for `STOCHASTIC`; DPM-Solver++ is the second-order
    multistep one.
    """
    kind = SCHEDULERS[name]
    known = inspect.signature(kind).parameters
    return kind(**({key: process[key] for key in KEPT if key in process and key in known} | OWN.get(name, {})))


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


def picture_streams(seeds: Sequence[int]) -> list[torch.Generator]:
    """One a picture, of all the noise that it is drawn with."""
    return [torch.Generator("cpu").manual_seed(seed) for seed in seeds]


def initial_latents(seeds: Sequence[int | torch.Generator], shape: Sequence[int]) -> Tensor:
    """[R, C, h, w], float32, on the CPU; shape: (C, h, w). seeds: or the pictures' streams, which go on from there."""
    streams = [seed if isinstance(seed, torch.Generator) else picture_streams([seed])[0] for seed in seeds]
    return torch.cat([torch.randn((1, *shape), generator=stream) for stream in streams])


def noise_levels(scheduler: Any) -> list[float]:
    """The noise level before each step of a scheduler whose steps are set: how large the noise is beside the signal,
    Karras et al.'s sigma (2022)."""
    alpha_bar = scheduler.alphas_cumprod.double().cpu()
    levels = ((1 - alpha_bar) / alpha_bar).sqrt().numpy()
    times = scheduler.timesteps.double().cpu().numpy()
    return [float(level) for level in np.interp(times, np.arange(len(levels)), levels)]


def guided_steps(scheduler: Any, guidance: float, interval: Interval) -> list[bool]:
    """Whether each step of a scheduler whose steps are set is guided: those whose noise level lies in the interval, low
    < level <= high, as in Kynkaanniemi et al. (arXiv 2404.07724)."""
    if guidance <= 1 or interval is None:
        return [guidance > 1] * len(scheduler.timesteps)
    low, high = interval
    return [low < level <= high for level in noise_levels(scheduler)]


def unet_passes(settings: Generate, process: Mapping[str, Any]) -> int:
    """Passes of the UNet for one picture: a guided step is two. Raises SpecError where no step lies in
    `guidance_interval`."""
    scheduler = make_scheduler(settings.sampler, process)
    set_steps(scheduler, settings.steps, torch.device("cpu"))
    guided = sum(guided_steps(scheduler, settings.guidance, settings.guidance_interval))
    if settings.guidance_interval is not None and not guided:
        low, high = settings.guidance_interval
        levels = ", ".join(f"{level:.2f}" for level in noise_levels(scheduler))
        raise SpecError(
            f"generate.guidance_interval: [{low:g}, {high:g}] holds none of the {settings.steps} steps of "
            f"{settings.sampler}, whose noise levels are {levels}; no step would be guided"
        )
    return settings.steps + guided


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
    streams: Sequence[torch.Generator] | None = None,
    interval: Interval = None,
) -> Tensor:
    """From noise to latents [R, C, h, w]. text, negative: R rows each.

    With guidance > 1 and `negative`, `predict` gets 2 R rows: all negative ones first; outside the interval of noise
    levels R. hold: what keeps a part of the latents from being drawn. streams: one a row, behind its initial latents;
    samplers of `STOCHASTIC` need them.
    """
    set_steps(scheduler, steps, latents.device)
    more: dict[str, Any] = {}
    if isinstance(scheduler, STOCHASTIC):
        if streams is None or len(streams) != len(latents):
            raise ValueError("a sampler that adds noise needs the stream of each picture")
        more["generator"] = list(streams)
    latents = latents * scheduler.init_noise_sigma
    both = TextStates.cat([negative, text]) if guidance > 1 and negative is not None else None
    guided_at = guided_steps(scheduler, guidance, interval)
    for step, timestep in enumerate(scheduler.timesteps):
        guided = both is not None and guided_at[step]
        context = both if both is not None and guided else text
        latents = hold(latents, scheduler, step) if hold else latents
        rows = scheduler.scale_model_input(torch.cat([latents, latents]) if guided else latents, timestep)
        output = predict(rows, timestep.expand(rows.shape[0]), context)
        if guided:
            without, with_prompt = output.chunk(2)
            output = without + guidance * (with_prompt - without)
        latents = scheduler.step(output, timestep, latents, return_dict=False, **more)[0]
    return hold(latents, scheduler, len(scheduler.timesteps)) if hold else latents

"""The diffusion process that a base was trained on, out of its scheduler's configuration.

Such a file says two things at once: what the base learned (betas, what it predicts, where its steps lie), and the
sampler that whoever saved it was fond of (clipping, thresholding, a stochastic solver, Karras' sigmas). The first is
kept, by name, and the noise schedule and the samplers are built from it alone; the second never gets here.

The driver asks too, so nothing in this file imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.errors import SpecError
from schemas.job import JobSpec
from stages.models.place import read_json

CONFIG = "scheduler/scheduler_config.json"
KEPT: dict[str, tuple[type, ...]] = {
    "num_train_timesteps": (int,),
    "beta_start": (int, float),
    "beta_end": (int, float),
    "beta_schedule": (str,),
    "trained_betas": (list,),
    "prediction_type": (str,),
    "rescale_betas_zero_snr": (bool,),
    "timestep_spacing": (str,),
    "steps_offset": (int,),
    "set_alpha_to_one": (bool,),
}
"""What is the process's -> its types. What a configuration leaves out is the sampler's own default, as in diffusers."""
BETA_SCHEDULES = ("linear", "scaled_linear", "squaredcos_cap_v2")
"""Those that all samplers know."""
SPACINGS = ("leading", "trailing", "linspace")
NO_SIGNAL = 2.0**-24
"""A share of signal under this is none: what diffusers' samplers put in the place of zero."""


def process_of(config: Mapping[str, Any], xl: bool) -> dict[str, Any]:
    """The process that a scheduler's configuration tells of, with the repairs that the base's pipeline makes.

    xl: the base is an SDXL, whose pipeline repairs nothing. StableDiffusionPipeline sets `steps_offset` to 1: the
    files of 2022 lack it. (Its other repair, of `clip_sample`, is of what is not kept: no sampler clips latents.)
    Betas that end without signal are zero-SNR whether or not that is said: a solver divides by the signal.
    """
    process = {name: config[name] for name in KEPT if config.get(name) is not None}
    if not xl:
        process["steps_offset"] = 1
    if _ends_without_signal(process.get("trained_betas")):
        process["rescale_betas_zero_snr"] = True
    return process


def timesteps_of(process: Mapping[str, Any]) -> int:
    """Timesteps that the base was trained with."""
    return int(process.get("num_train_timesteps", 1000))


def read_process(base: str, xl: bool, revision: str | None = None) -> dict[str, Any]:
    """The process of the base under `base`. Raises a SpecError that names models.base where there is none, or none
    that can be sampled.
    """
    process = process_of(read_json(base, CONFIG, "models.base", revision), xl)
    _check(base, process)
    return process


def check_steps(spec: JobSpec, process: Mapping[str, Any]) -> None:
    """Raises a SpecError that names the field that asks for more sampler steps than there are timesteps for them."""
    most = timesteps_of(process) - 2  # the last ones are the offset's and the end's
    asked = {"generate.steps": spec.generate.steps}
    extract = spec.extract
    if not spec.source.handles and extract.prior.weight > 0 and extract.phase2.steps > 0:
        asked["extract.prior.steps"] = extract.prior.steps
    for field, steps in asked.items():
        if steps > most:
            raise SpecError(
                f"{field}: {steps} steps do not fit on the {most + 2} timesteps that the base was trained with; ask "
                f"for {most} or fewer"
            )


def training_levels(process: Mapping[str, Any]) -> NDArray[np.float64]:
    """The noise level of every timestep that the base was trained with, the least first: how large the noise is beside
    the signal, Karras et al.'s sigma (2022); infinite where nothing of the signal is left."""
    betas = _betas(process)
    alpha_bar = np.cumprod(1 - betas)
    if process.get("rescale_betas_zero_snr"):
        root = np.sqrt(alpha_bar)
        alpha_bar = ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2
    with np.errstate(divide="ignore"):
        levels: NDArray[np.float64] = np.sqrt((1 - alpha_bar) / alpha_bar)
    return levels


def check_interval(spec: JobSpec, process: Mapping[str, Any]) -> None:
    """Raises a SpecError where `generate.guidance_interval` lies beside all noise that the base was trained with, so
    that no step could be guided."""
    if spec.generate.guidance_interval is None:
        return
    low, high = spec.generate.guidance_interval
    levels = training_levels(process)
    if not ((low < levels) & (levels <= high)).any():
        raise SpecError(
            f"generate.guidance_interval: [{low:g}, {high:g}] holds no noise level of models.base, which go from "
            f"{levels[0]:.2g} to {levels[-1]:.3g}; no step would be guided"
        )


def _betas(process: Mapping[str, Any]) -> NDArray[np.float64]:
    steps, trained = timesteps_of(process), process.get("trained_betas")
    if trained is not None:
        return np.asarray(trained, np.float64)
    start, end = float(process.get("beta_start", 0.0001)), float(process.get("beta_end", 0.02))
    schedule = process.get("beta_schedule", "linear")
    if schedule == "linear":
        return np.linspace(start, end, steps)
    if schedule == "scaled_linear":
        return np.linspace(start**0.5, end**0.5, steps) ** 2
    share = np.cos((np.arange(steps + 1) / steps + 0.008) / 1.008 * np.pi / 2) ** 2  # Nichol and Dhariwal (2021)
    return np.minimum(1 - share[1:] / share[:-1], 0.999)


def _ends_without_signal(betas: object) -> bool:
    return isinstance(betas, list) and _are_numbers(betas[-1:]) and 1 - sum(betas[-1:]) < NO_SIGNAL


def _are_numbers(values: list[Any]) -> bool:
    return bool(values) and all(isinstance(value, (int, float)) for value in values)


def _check(base: str, process: Mapping[str, Any]) -> None:
    def wrong(what: str, remedy: str) -> SpecError:
        return SpecError(f"models.base: {CONFIG} of {base} {what}; {remedy}")

    for name, value in process.items():
        if not isinstance(value, KEPT[name]) or (isinstance(value, bool) and bool not in KEPT[name]):
            raise wrong(
                f"says {name} {value!r}, which is no {KEPT[name][-1].__name__}",
                "write there what the base was trained with, or name another base",
            )
    spacing, steps = process.get("timestep_spacing", SPACINGS[0]), timesteps_of(process)
    if "trained_betas" in process:
        _check_betas(process["trained_betas"], steps, wrong)
    elif process.get("beta_schedule", BETA_SCHEDULES[0]) not in BETA_SCHEDULES:
        raise wrong(
            f"says beta_schedule {process['beta_schedule']!r}, which not all samplers know",
            f"write its betas there as trained_betas, or name a base with one of {', '.join(BETA_SCHEDULES)}",
        )
    if spacing not in SPACINGS:
        raise wrong(
            f"says timestep_spacing {spacing!r}, which no sampler knows",
            f"write one of {', '.join(SPACINGS)} there, or take the line out",
        )
    if process.get("rescale_betas_zero_snr") and process.get("prediction_type", "epsilon") == "epsilon":
        raise wrong(
            "says zero terminal SNR (rescale_betas_zero_snr, or trained_betas that end at 1) with prediction_type "
            "epsilon, which divides by zero",
            "set prediction_type to v_prediction if the base was trained so, or take the zero SNR out if it was not",
        )


def _check_betas(betas: list[Any], steps: int, wrong: Callable[[str, str], SpecError]) -> None:
    if len(betas) != steps:
        raise wrong(
            f"has {len(betas)} trained_betas for {steps} num_train_timesteps",
            "correct the one that is not what the base was trained with",
        )
    if not _are_numbers(betas) or not all(0 < beta < 1 for beta in betas[:-1]) or not 0 < betas[-1] <= 1:
        raise wrong(
            "has trained_betas that are not numbers between 0 and 1",
            "write there the betas that the base was trained with, or take them out if they are its beta_schedule's",
        )

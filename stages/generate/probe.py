"""How long a picture takes here, by drawing some for a few steps: for `unscene plan --probe`."""

from __future__ import annotations

import torch

from schemas.job import JobSpec
from stages.generate.drawing import DrawnScene, draw
from stages.generate.prompts import Variation, list_variations
from stages.handles.scene_model import SceneModel
from stages.handles.weights import SceneWeights
from stages.models.base.sampler import unet_passes
from stages.models.base.text_states import TextStates
from stages.models.stopwatch import seconds_of

FEW, MORE = 2, 4
"""Sampler steps of the two drawings whose difference is taken."""


def pass_seconds(model: SceneModel) -> float:
    """Seconds of one pass of the UNet on one row, after one that is not timed where it is short."""
    base = model.base
    with torch.no_grad():
        model.bind(None)
        states: TextStates = base.text_states(model.tokens.ids("a photo")[None].to(base.device))
        latents = torch.zeros(1, *base.latent_shape, device=base.device)
        time = torch.zeros(1, dtype=torch.long, device=base.device)
        first = seconds_of(lambda: base.predict(latents, time, states))
        return first if first > 1 else seconds_of(lambda: base.predict(latents, time, states))


def picture_seconds(model: SceneModel, spec: JobSpec, scenes: int, concepts: int) -> float:
    """Seconds for one picture of a batch that so many scenes share, each with so many concepts."""
    jobs = _jobs(model, spec, scenes, concepts)

    def drawn(steps: int) -> float:
        settings = spec.generate.model_copy(update={"steps": steps, "guidance_interval": None})
        return seconds_of(lambda: draw(model, settings, spec.seed, jobs))

    if model.base.device.type == "cuda":
        drawn(FEW)  # what is slow once: kernels are loaded, and chosen, when they are first called
    few, more = drawn(FEW), drawn(MORE)
    step = max(0.0, more - few) / (MORE - FEW)
    steps = unet_passes(spec.generate, model.base.scheduler) / (2 if spec.generate.guidance > 1 else 1)
    return max(step, few + (steps - FEW) * step) / len(jobs)


def _jobs(model: SceneModel, spec: JobSpec, scenes: int, concepts: int) -> list[tuple[DrawnScene, Variation]]:
    """A batch of pictures of scenes that have learned nothing."""
    lora = spec.extract.lora
    trains = spec.extract.phase2.steps > 0 and spec.extract.tuning == "lora"
    layout = model.layout(lora.rank, lora.text_encoder, lora.targets) if trains else None
    names = model.tokens.names[:concepts]
    jobs: list[tuple[DrawnScene, Variation]] = []
    for number in range(scenes):
        flat = layout.initial(spec.seed, f"probe-{number}").to(model.base.device) if layout else None
        weights = SceneWeights(list(names), torch.zeros(concepts, sum(model.widths)), widths=model.widths)
        scene = DrawnScene(weights, layout, flat)
        pictures = list_variations(f"probe-{number}", names, names, spec.generate)
        jobs += [(scene, picture) for picture in pictures]
    return jobs[: spec.generate.batch]

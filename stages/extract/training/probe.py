"""How long a step of training takes here, by making some: for `unscene plan --probe`."""

from __future__ import annotations

import torch
from torch import Tensor

from schemas.job import Extract
from stages.extract.training.batch_size import made_up_scene, pick_batch
from stages.extract.training.trainer import Trainer
from stages.handles.scene_model import SceneModel
from stages.models.stopwatch import seconds_of

STEPS = 3
"""Steps that are timed, after one that is not."""
PRIOR_PICTURES = 2


def batch_size(model: SceneModel, settings: Extract, most: int) -> int:
    """Scenes that would train side by side, of at most so many."""
    if settings.tuning == "full":
        return 1
    size = pick_batch(model, settings, _prior(model, settings)) if settings.batch == "auto" else settings.batch
    return max(1, min(size, most))


def scene_seconds(model: SceneModel, settings: Extract, scenes: int) -> float:
    """Seconds of both phases for one of so many scenes that train side by side."""
    total = 0.0
    for number, phase in ((1, settings.phase1), (2, settings.phase2)):
        if phase.steps:
            _train(model, settings, scenes, number, 1)  # what is slow once
            brief = _train(model, settings, scenes, number, 1)
            longer = _train(model, settings, scenes, number, 1 + STEPS)
            step = max(0.0, longer - brief) / STEPS
            total += phase.steps * step + max(0.0, brief - step)
    return total / scenes


def _train(model: SceneModel, settings: Extract, scenes: int, phase: int, steps: int) -> float:
    tree = settings.model_dump()
    tree["phase1"]["steps"] = steps if phase == 1 else 0
    tree["phase2"]["steps"] = steps if phase == 2 else 0
    trainer = Trainer(model, Extract.model_validate(tree), 0, _prior(model, settings))
    made_up = [made_up_scene(model, settings, number) for number in range(scenes)]
    return seconds_of(lambda: trainer.train(made_up))


def _prior(model: SceneModel, settings: Extract) -> Tensor | None:
    """Latents of no picture, as many as a step needs."""
    if not (settings.prior.weight > 0 and settings.phase2.steps):
        return None
    return torch.zeros(PRIOR_PICTURES, *model.base.latent_shape, device=model.base.device)

"""One training step from outside: a model directory, latents, masks, a subset, noise and a timestep in, each term of
the loss out. For checking the engine against another implementation, and for looking at one step of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from schemas.job import Extract
from stages.extract.method.draws import Draw
from stages.extract.method.latents import SceneLatents, resize_masks
from stages.extract.method.step import LossTerms, PriorSource, build_inputs, loss_terms
from stages.handles.scene_model import SceneModel
from stages.models.base.loading import load_base


class Stepper:
    """The engine with one scene in it, and no random numbers: everything that a step draws is given.

    directory: a base model in pipeline layout; settings: of the losses and the template. Calls are differentiable with
    respect to the handles.
    """

    def __init__(
        self, directory: str | Path, settings: Extract | None = None, device: str | torch.device = "cpu"
    ) -> None:
        self.settings = settings or Extract()
        base = load_base(str(directory), None, torch.float32, device)
        self.model = SceneModel(base, self.settings.placeholder, self.settings.attention_maps)

    def handles_of(self, words: Sequence[str]) -> Tensor:
        """[N, d]: where handles that start from these words start."""
        picked = [self.model.tokens.start(word, self.settings.init_word)[1] for word in words]
        return self.model.initial_handles([picked])[0]

    def terms(
        self,
        handles: Tensor,
        latents: Tensor,
        masks: Tensor,
        subset: Sequence[int],
        noise: Tensor,
        timestep: int,
        prior: tuple[Tensor, Tensor, int] | None = None,
    ) -> LossTerms:
        """The terms of one step, each [1].

        handles: [N, d]; latents (clean, scaled) and noise: [C, h, w]; masks: [N, H, W] in [0, 1], of any size; subset:
        indices of the concepts in the order of the prompt; timestep: of the base's training schedule; prior: latents,
        noise and timestep of the step's prior picture, or None for a step without the prior term.
        """
        model, zero = self.model, torch.zeros_like(latents)
        sized = resize_masks(masks, latents.shape[-1]), resize_masks(masks, model.recorder.side)
        scene = SceneLatents(latents[None], zero[None], sized[0][None], sized[1][None])
        draw, source = Draw(tuple(subset), False, timestep, noise, zero), None
        if prior is not None:
            draw = Draw(tuple(subset), False, timestep, noise, zero, 0, prior[2], prior[1])
            source = PriorSource(prior[0][None], model.tokens.ids(self.settings.prior.prompt).to(latents.device))
        inputs = build_inputs([draw], [scene], model.tokens, self.settings, len(handles), source)
        model.bind(handles[None])
        try:
            return loss_terms(model, inputs, self.settings)
        finally:
            model.bind(None)

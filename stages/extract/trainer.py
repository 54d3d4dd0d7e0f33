"""Trains a batch of scenes through both phases (paper section 3.1) and hands back what each has learned."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from schemas.job import Extract, Phase
from stages.extract.draws import SceneDraws
from stages.extract.full_tuning import half_precision, unlocked
from stages.extract.latents import SceneLatents
from stages.extract.scene_model import SceneModel
from stages.extract.scene_optimizer import SceneOptimizer
from stages.extract.step import PriorSource, build_inputs, loss_terms

PROGRESS_EVERY_S = 5.0
FLOAT16_LOSS_SCALE = 1024.0


@dataclass(frozen=True)
class TrainingScene:
    """word_ids: token id that each handle starts from, so its length is N."""

    scene_id: str
    word_ids: list[int]
    latents: SceneLatents


@dataclass
class TrainedScene:
    """What one scene has learned, float32 on the CPU (full weights: float16).

    handles: [N, d]; lora: PEFT names -> factors; full: names -> weights; curves: [steps, 3] with the
    diffusion, attention and prior terms of every step; diverged: (phase, step) at which it stopped being
    finite.
    """

    scene_id: str
    handles: Tensor
    lora: dict[str, Tensor] = field(default_factory=dict)
    full: dict[str, Tensor] = field(default_factory=dict)
    curves: Tensor = field(default_factory=lambda: torch.zeros(0, 3))
    diverged: tuple[int, int] | None = None


class Trainer:
    """prior: latents [n, C, h, w] of the prior set, or None; progress: called every few seconds."""

    def __init__(self, model: SceneModel, settings: Extract, seed: int, prior: Tensor | None = None,
                 progress: Callable[[dict[str, Any]], None] | None = None) -> None:
        self.model, self.settings, self.seed, self.progress = model, settings, seed, progress
        self.prior = prior.to(model.base.device) if prior is not None and settings.prior.weight > 0 else None
        self.loss_scale = FLOAT16_LOSS_SCALE if model.base.dtype == torch.float16 else 1.0

    def train(self, scenes: Sequence[TrainingScene]) -> list[TrainedScene]:
        """One result a scene, in order. With `tuning: full` the batch must be a single scene."""
        settings, model = self.settings, self.model
        if settings.tuning == "full" and len(scenes) != 1:
            raise ValueError("extract.tuning: full trains one scene at a time")
        batch = _Batch(scenes, model)
        if settings.gradient_checkpointing:
            model.base.unet.enable_gradient_checkpointing()
        try:
            self._phase(batch, 1, settings.phase1, [batch.handles])
            if settings.phase2.steps and settings.tuning == "full":
                with unlocked(model.base) as weights:
                    self._phase(batch, 2, settings.phase2, [batch.handles, *weights.values()])
                    batch.full = half_precision(weights)
            elif settings.phase2.steps:
                batch.layout = model.layout(settings.lora.rank, settings.lora.text_encoder, settings.lora.targets)
                start = torch.stack([batch.layout.initial(self.seed, s.scene_id) for s in scenes])
                batch.flat = nn.Parameter(start.to(model.base.device))
                self._phase(batch, 2, settings.phase2, [batch.handles, batch.flat])
        finally:
            model.release()
            model.base.unet.disable_gradient_checkpointing()
        return batch.results()

    def _phase(self, batch: _Batch, number: int, phase: Phase, parameters: list[nn.Parameter]) -> None:
        settings, model = self.settings, self.model
        prior, count = (self._prior_source() if number == 2 else None), len(batch.scenes)
        draws = [SceneDraws(self.seed, scene.scene_id, number, len(scene.word_ids), model.base.latent_shape,
                            model.schedule.timesteps, union=settings.union_sampling, flip=settings.flip,
                            prior_images=0 if prior is None else len(prior.latents))
                 for scene in batch.scenes]
        optimizer = SceneOptimizer(parameters, count, phase.lr, settings, batch.alive, self.loss_scale)
        told = time.monotonic()
        for step in range(phase.steps):
            inputs = build_inputs([d.next() for d in draws], batch.latents, model.tokens, settings,
                                  batch.handles.shape[1], prior)
            model.bind(batch.handles, batch.flat, batch.layout)
            terms = loss_terms(model, inputs, settings)
            optimizer.step(terms.total(settings), step)
            batch.curves.append(terms.stacked())
            if time.monotonic() - told >= PROGRESS_EVERY_S:
                told = time.monotonic()
                if self.progress is not None:
                    self.progress({"phase": number, "step": step + 1, "steps": phase.steps})
                if not bool(batch.alive.any()):
                    break
        batch.note_deaths(number, optimizer.died_at)

    def _prior_source(self) -> PriorSource | None:
        """The prior term of phase 2. In phase 1 its prompt holds no handle and its gradient is zero: left
        out.
        """
        if self.prior is None:
            return None
        settings, model = self.settings, self.model
        prompt = model.tokens.ids(settings.prior.prompt).to(model.base.device)
        states = None
        if settings.tuning == "lora" and not settings.lora.text_encoder:
            model.bind(None)
            with torch.no_grad():
                states = model.text_states(prompt[None])
        return PriorSource(self.prior, prompt, states)


class _Batch:
    """The parameters and the ledger of the scenes that train together."""

    def __init__(self, scenes: Sequence[TrainingScene], model: SceneModel) -> None:
        self.scenes = list(scenes)
        self.latents = [scene.latents for scene in scenes]
        self.handles = nn.Parameter(model.initial_handles([scene.word_ids for scene in scenes]))
        self.flat: nn.Parameter | None = None
        self.layout: Any = None
        self.full: dict[str, Tensor] = {}
        self.alive = torch.ones(len(self.scenes), dtype=torch.bool, device=self.handles.device)
        self.curves: list[Tensor] = []
        self.diverged: list[tuple[int, int] | None] = [None] * len(self.scenes)

    def note_deaths(self, phase: int, died_at: Tensor) -> None:
        for scene, step in enumerate(died_at.tolist()):
            if step >= 0:
                self.diverged[scene] = (phase, step)

    def results(self) -> list[TrainedScene]:
        handles = self.handles.detach().cpu()
        flat = None if self.flat is None else self.flat.detach().cpu()
        curves = torch.stack(self.curves).cpu() if self.curves else torch.zeros(0, 3, len(self.scenes))
        return [TrainedScene(
            scene.scene_id, handles[i, :len(scene.word_ids)].clone(),
            lora={} if flat is None else self.layout.state(flat[i]), full=self.full,
            curves=curves[:, :, i].clone(), diverged=self.diverged[i]) for i, scene in enumerate(self.scenes)]

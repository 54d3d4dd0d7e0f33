"""Trains a batch of scenes through both phases (paper section 3.1) and hands back what each has learned."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from schemas.job import Extract, Phase
from stages.extract.method.draws import SceneDraws
from stages.extract.method.pasting import pasted_moments
from stages.extract.method.step import PriorSource, StepInputs, build_inputs, loss_terms
from stages.extract.training.batch import TrainedScene, TrainingBatch, TrainingScene
from stages.extract.training.checkpoint import Checkpoint, CheckpointFile
from stages.extract.training.optimizer import SceneOptimizer
from stages.handles.full_weights import half_precision, unlocked
from stages.handles.scene_model import SceneModel
from stages.stage import none_withdrawn, tell_nobody

__all__ = ["TrainedScene", "Trainer", "TrainingScene"]

PROGRESS_EVERY_S = 5.0
CHECK_EVERY = 25
"""Steps between two looks at which scenes have diverged; a look waits for the device."""
FLOAT16_LOSS_SCALE = 1024.0


class Trainer:
    """prior: latents [n, C, h, w] of the prior set, or None; progress: called every few seconds.

    withdrawn: asked every few seconds which scenes are no longer wanted. checkpoints: where the batch's state goes
    from time to time, and where an earlier process may have left it.
    """

    def __init__(
        self,
        model: SceneModel,
        settings: Extract,
        seed: int,
        prior: Tensor | None = None,
        progress: Callable[[dict[str, Any]], None] = tell_nobody,
        withdrawn: Callable[[], frozenset[str]] = none_withdrawn,
        checkpoints: CheckpointFile | None = None,
    ) -> None:
        self.model, self.settings, self.seed = model, settings, seed
        self.progress, self.withdrawn, self.checkpoints = progress, withdrawn, checkpoints
        self.prior = prior.to(model.base.device) if prior is not None and settings.prior.weight > 0 else None
        self.loss_scale = FLOAT16_LOSS_SCALE if model.base.dtype == torch.float16 else 1.0

    def train(self, scenes: Sequence[TrainingScene]) -> list[TrainedScene]:
        """One result a scene, in order. With `tuning: full` the batch must be a single scene."""
        settings, model = self.settings, self.model
        if settings.tuning == "full" and len(scenes) != 1:
            raise ValueError("extract.tuning: full trains one scene at a time")
        batch = TrainingBatch(scenes, model)
        saved = self.checkpoints.load(batch.order) if self.checkpoints else None
        if saved is not None:
            saved.restore_scenes(batch)
        if settings.gradient_checkpointing:
            model.base.unet.enable_gradient_checkpointing()
        try:
            if saved is None or saved.phase == 1:
                self._phase(batch, 1, settings.phase1, [batch.handles], saved)
            if settings.phase2.steps and batch.scenes:
                with self._phase2_parameters(batch) as parameters:
                    self._phase(
                        batch,
                        2,
                        settings.phase2,
                        [batch.handles, *parameters.values()],
                        saved if saved is not None and saved.phase == 2 else None,
                    )
                    if settings.tuning == "full":
                        batch.full = half_precision(parameters)
        finally:
            model.release()
            model.base.unet.disable_gradient_checkpointing()
        return batch.results()

    @contextlib.contextmanager
    def _phase2_parameters(self, batch: TrainingBatch) -> Iterator[dict[str, nn.Parameter]]:
        """What phase 2 trains beside the handles: fresh factors, or the base's own weights on loan."""
        settings = self.settings
        if settings.tuning == "full":
            with unlocked(self.model.base, settings.full.targets) as weights:
                yield weights
        else:
            layout = self.model.layout(settings.lora.rank, settings.lora.text_encoder, settings.lora.targets)
            yield {"factors": batch.add_factors(layout, self.seed)}

    def _phase(
        self,
        batch: TrainingBatch,
        number: int,
        phase: Phase,
        parameters: Sequence[nn.Parameter],
        saved: Checkpoint | None,
    ) -> None:
        settings, model = self.settings, self.model
        prior = self._prior_source() if number == 2 else None
        batch.begin(
            [
                SceneDraws(
                    self.seed,
                    scene.scene_id,
                    number,
                    len(scene.word_ids),
                    model.base.latent_shape,
                    model.schedule.timesteps,
                    union=settings.union_sampling,
                    flip=settings.flip,
                    prior_images=0 if prior is None else len(prior.latents),
                    colour=settings.picture == "pasted",
                )
                for scene in batch.scenes
            ],
            SceneOptimizer(parameters, phase.lr, settings, batch.alive, self.loss_scale),
        )
        done = 0
        if saved is not None:
            saved.restore_phase(batch)
            done = saved.steps
        told = time.monotonic()
        while done < phase.steps and batch.scenes:
            self._step(batch, prior, done)
            done += 1
            if done % CHECK_EVERY == 0 or done == phase.steps:
                batch.drop_diverged(number)
            if time.monotonic() - told >= PROGRESS_EVERY_S:
                told = time.monotonic()
                self._tell(batch, number, done, phase.steps)
            if self.checkpoints is not None and done < phase.steps and batch.scenes and self.checkpoints.due():
                self.checkpoints.save(batch, number, done)

    def _step(self, batch: TrainingBatch, prior: PriorSource | None, number: int) -> None:
        assert batch.optimizer is not None
        inputs = self._inputs(batch, prior)
        self.model.bind(batch.handles, batch.flat, batch.layout)
        terms = loss_terms(self.model, inputs, self.settings)
        batch.optimizer.step(terms.total(self.settings), number)
        batch.note(terms.stacked())

    def _inputs(self, batch: TrainingBatch, prior: PriorSource | None) -> StepInputs:
        model, latents, draws = self.model, batch.latents, [d.next() for d in batch.draws]
        moments = pasted_moments(model.base, latents, draws) if self.settings.picture == "pasted" else None
        return build_inputs(draws, latents, model.tokens, self.settings, batch.handles.shape[1], prior, moments)

    def _tell(self, batch: TrainingBatch, phase: int, done: int, steps: int) -> None:
        self.progress({"phase": phase, "step": done, "steps": steps})
        batch.withdraw(self.withdrawn(), phase, done)

    def _prior_source(self) -> PriorSource | None:
        """The prior term of phase 2. In phase 1 its prompt holds no handle and its gradient is zero: left
        out.
        """
        if self.prior is None:
            return None
        settings, model = self.settings, self.model
        prompt = model.tokens.ids(settings.prior.prompt).to(model.base.device)
        states = None
        if not settings.trains_text_encoder:
            model.bind(None)
            with torch.no_grad():
                states = model.base.text_states(prompt[None])
        return PriorSource(self.prior, prompt, states)

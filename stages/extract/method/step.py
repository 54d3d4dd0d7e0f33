"""One training step as a formula: given latents, noise, timesteps and subsets, the terms of every scene's
loss.

This is the place to step the method from outside: build `StepInputs`, call `loss_terms`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from schemas.job import Extract
from schemas.templates import fill_template
from stages.extract.method.draws import Draw
from stages.extract.method.latents import SceneLatents
from stages.extract.method.losses import ATTENTION_LOSSES, diffusion_loss, prior_loss
from stages.extract.method.union_sampling import union_mask
from stages.handles.scene_model import SceneModel
from stages.handles.tokens import HandleTokens, stack_ids
from stages.models.base.text_states import TextStates


@dataclass(frozen=True)
class PriorInputs:
    """One picture of the prior set a scene. latents, noise: [S, C, h, w]; timesteps: [S]; prompt: ids [E, T].

    states: one row where the text encoders are the base's own, else None and the prompt is encoded with the
    scene's.
    """

    latents: Tensor
    noise: Tensor
    timesteps: Tensor
    prompt: Tensor
    states: TextStates | None = None


@dataclass(frozen=True)
class StepInputs:
    """What one step sees; row i is scene i.

    ids: [S, E, T], E text encoders; positions, sampled: [S, K], the handles' places in the prompt and which
    of the K are real; latents (clean), noise: [S, C, h, w]; timesteps: [S]; mask: [S, h, w];
    attention_masks: [S, K, a, a].
    """

    ids: Tensor
    positions: Tensor
    sampled: Tensor
    latents: Tensor
    noise: Tensor
    timesteps: Tensor
    mask: Tensor
    attention_masks: Tensor
    prior: PriorInputs | None = None


@dataclass(frozen=True)
class LossTerms:
    """Unweighted terms, each [S]."""

    diffusion: Tensor
    attention: Tensor
    prior: Tensor

    def total(self, settings: Extract) -> Tensor:
        """[S]: diffusion + attention_weight * attention + prior.weight * prior."""
        return self.diffusion + settings.attention_weight * self.attention + settings.prior.weight * self.prior

    def stacked(self) -> Tensor:
        """[3, S], without graph."""
        return torch.stack([self.diffusion, self.attention, self.prior]).detach()


def build_inputs(
    draws: Sequence[Draw],
    scenes: Sequence[SceneLatents],
    tokens: HandleTokens,
    settings: Extract,
    slots: int,
    prior: PriorSource | None = None,
    moments: tuple[Tensor, Tensor] | None = None,
) -> StepInputs:
    """From the scenes' draws and latents to one step's tensors on the device. slots: K, at least the largest
    N. moments: mean and std [S, C, h, w] of pictures composed for this step, in the place of the scenes' own.
    """
    device = scenes[0].mean.device
    count, attention_side = len(scenes), scenes[0].attention_masks.shape[-1]
    positions = torch.zeros(count, slots, dtype=torch.long)
    sampled = torch.zeros(count, slots, dtype=torch.bool)
    attention_masks = torch.zeros(count, slots, attention_side, attention_side)
    masks, ids = [], []
    for row, (draw, scene) in enumerate(zip(draws, scenes, strict=True)):
        prompt = fill_template(settings.template, [tokens.names[j] for j in draw.subset])
        used, side = len(draw.subset), int(draw.flip)
        ids.append(tokens.ids(prompt))
        positions[row, :used] = torch.tensor(tokens.positions(prompt, draw.subset))
        sampled[row, :used] = True
        masks.append(union_mask(scene.masks[side], draw.subset))
        attention_masks[row, :used] = scene.attention_masks[side][list(draw.subset)]
    vae_noise = torch.stack([d.vae_noise for d in draws]).to(device, non_blocking=True)
    mean, std = moments or _own_moments(draws, scenes)
    return StepInputs(
        ids=stack_ids(ids, device),
        positions=positions.to(device),
        sampled=sampled.to(device),
        latents=mean + std * vae_noise,
        noise=torch.stack([d.noise for d in draws]).to(device, non_blocking=True),
        timesteps=torch.tensor([d.timestep for d in draws]).to(device),
        mask=torch.stack(masks).to(device),
        attention_masks=attention_masks.to(device),
        prior=None if prior is None else prior.inputs(draws),
    )


def _own_moments(draws: Sequence[Draw], scenes: Sequence[SceneLatents]) -> tuple[Tensor, Tensor]:
    """Mean and std [S, C, h, w] of each scene's picture or mirror image."""
    pairs = [(int(d.flip), scene) for d, scene in zip(draws, scenes, strict=True)]
    return (
        torch.stack([scene.mean[side] for side, scene in pairs]),
        torch.stack([scene.std[side] for side, scene in pairs]),
    )


@dataclass(frozen=True)
class PriorSource:
    """The prior set of the run. latents: [n, C, h, w] on the device; prompt: ids [E, T]; states:
    see PriorInputs.
    """

    latents: Tensor
    prompt: Tensor
    states: TextStates | None = None

    def inputs(self, draws: Sequence[Draw]) -> PriorInputs:
        device = self.latents.device
        noise = torch.stack([d.prior_noise for d in draws if d.prior_noise is not None])
        return PriorInputs(
            latents=self.latents[torch.tensor([d.prior_index for d in draws]).to(device)],
            noise=noise.to(device, non_blocking=True),
            timesteps=torch.tensor([d.prior_timestep for d in draws]).to(device),
            prompt=self.prompt,
            states=self.states,
        )


def loss_terms(model: SceneModel, inputs: StepInputs, settings: Extract) -> LossTerms:
    """Forward pass of one step; handles and factors must be bound. Rows in the model: [instance, prior] per
    scene.
    """
    scenes, _, tokens = inputs.ids.shape
    schedule, prior = model.schedule, inputs.prior
    model.owners.blocks(scenes)
    noisy = schedule.noisy(inputs.latents, inputs.noise, inputs.timesteps)
    target = schedule.target(inputs.latents, inputs.noise, inputs.timesteps)
    timesteps, text = inputs.timesteps, _text_states(model, inputs)
    if prior is not None:
        noisy = interleave(noisy, schedule.noisy(prior.latents, prior.noise, prior.timesteps))
        timesteps = interleave(timesteps, prior.timesteps)
    attention = ATTENTION_LOSSES.get(settings.attention_loss) if settings.attention_weight > 0 else None
    if attention is not None:
        model.recorder.record(inputs.positions, scenes, tokens)
    prediction = model.base.predict(noisy, timesteps, text)
    zero = torch.zeros(scenes, device=prediction.device)
    instance = prediction if prior is None else prediction[0::2]
    return LossTerms(
        diffusion=diffusion_loss(instance, target, inputs.mask, settings.masked_loss),
        attention=zero
        if attention is None
        else attention(model.recorder.maps(), inputs.attention_masks, inputs.sampled),
        prior=zero
        if prior is None
        else prior_loss(prediction[1::2], schedule.target(prior.latents, prior.noise, prior.timesteps)),
    )


def _text_states(model: SceneModel, inputs: StepInputs) -> TextStates:
    """S rows, or S * 2 with the prior's; every distinct prompt is encoded once."""
    prior, scenes = inputs.prior, inputs.ids.shape[0]
    if prior is None:
        return model.base.text_states(inputs.ids)
    if prior.states is not None:
        return model.base.text_states(inputs.ids).interleave(prior.states.expand(scenes))
    return model.base.text_states(interleave(inputs.ids, prior.prompt.expand(scenes, -1, -1)))


def interleave(instance: Tensor, prior: Tensor) -> Tensor:
    """[S, ...] twice -> [S * 2, ...], ordered by scene."""
    return torch.stack([instance, prior], dim=1).flatten(0, 1)

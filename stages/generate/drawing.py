"""The pictures of one batch: prompts and handles of several scenes in, pixels out."""

from __future__ import annotations

import contextlib
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from schemas.errors import SceneError
from schemas.job import Generate
from stages.generate.place import Blend, Spot, restored
from stages.generate.prompts import Variation
from stages.handles.full_weights import replaced
from stages.handles.lora.layout import LoraLayout
from stages.handles.scene_model import SceneModel
from stages.handles.weights import SceneWeights
from stages.models.base.pictures import decode_sound
from stages.models.base.sampler import Predict, denoise, initial_latents, make_scheduler, picture_streams
from stages.models.base.text_states import TextStates
from stages.streams import stream_seed


@dataclass(eq=False)
class DrawnScene:
    """What a scene's pictures are drawn with.

    layout: of its factors, flat: those, on the device; both None without factors. states: prompt -> its text states,
    one row, kept until the scene's last picture is made. spots: number of a picture -> where in a real one it is drawn;
    none, or one a picture.
    """

    weights: SceneWeights
    layout: LoraLayout | None
    flat: Tensor | None
    states: dict[str, TextStates] = field(default_factory=dict)
    spots: dict[int, Spot] = field(default_factory=dict)

    @property
    def company(self) -> Hashable:
        """Scenes with the same value can share a batch: one with weights of the base's own goes alone."""
        return id(self) if self.weights.full else self.layout


@torch.no_grad()
def draw(
    model: SceneModel, settings: Generate, seed: int, jobs: Sequence[tuple[DrawnScene, Variation]]
) -> list[NDArray[np.uint8] | SceneError]:
    """Pictures [h, w, 3], one a job, or what is wrong with it: its latents or its pixels are not finite, or it is one
    colour all over. The scenes can share a batch."""
    device = model.base.device
    spots = [spot for scene, picture in jobs if (spot := scene.spots.get(picture.number))]
    scenes = list(dict.fromkeys(scene for scene, _ in jobs))
    number = {scene: i for i, scene in enumerate(scenes)}
    owner = torch.tensor([number[scene] for scene, _ in jobs], device=device)
    slots = max(len(scene.weights.tokens) for scene in scenes)
    padded = [functional.pad(s.weights.handles, (0, 0, 0, slots - len(s.weights.tokens))) for s in scenes]
    handles = torch.stack(padded).to(device)
    flat = torch.stack([s.flat for s in scenes if s.flat is not None]) if scenes[0].layout else None
    full = scenes[0].weights.full
    guided = settings.guidance > 1
    with replaced(model.base, full) if full else contextlib.nullcontext():
        try:
            model.bind(handles, flat, scenes[0].layout)
            _encode(model, settings.negative_prompt, scenes, jobs, guided)
            text = TextStates.cat([scene.states[picture.prompt] for scene, picture in jobs])
            negative = None
            if guided:
                negative = (
                    text.zeros_like()
                    if model.base.negative_is_zeros(settings.negative_prompt)
                    else TextStates.cat([scene.states[settings.negative_prompt] for scene, _ in jobs])
                )
            streams = picture_streams([stream_seed(seed, p.scene_id, p.purpose) for _, p in jobs])
            noise = initial_latents(streams, model.base.latent_shape).to(device)
            latents = denoise(
                _by_owner(model, owner, len(scenes)),
                make_scheduler(settings.sampler, model.base.scheduler),
                noise,
                settings.steps,
                settings.guidance,
                text,
                negative,
                Blend(model.base, spots, noise) if spots else None,
                streams,
                settings.guidance_interval,
            )
        finally:
            model.release()
    sound = torch.isfinite(latents).flatten(1).all(1)
    latents = torch.where(sound[:, None, None, None], latents, 0.0)
    images, decoded = decode_sound(model.base, latents)
    problems = _problems(sound.tolist(), decoded, images)
    if spots:
        images = np.stack([restored(image, spot) for image, spot in zip(images, spots, strict=True)])
    return [
        image if problem is None else SceneError(f"picture {picture.key} {problem}")
        for (_, picture), image, problem in zip(jobs, images, problems, strict=True)
    ]


def _by_owner(model: SceneModel, owner: Tensor, scenes: int) -> Predict:
    """The base's pass on one or on two rows a picture, each with its own scene's factors. owner: [R], a picture's."""

    def predict(latents: Tensor, timesteps: Tensor, text: TextStates) -> Tensor:
        model.owners.rows(owner.repeat(len(latents) // len(owner)), scenes)
        return model.base.predict(latents, timesteps, text)

    return predict


def _problems(sound: Sequence[bool], decoded: NDArray[np.bool_], images: NDArray[np.uint8]) -> Iterator[str | None]:
    """What is wrong with each picture, or None. sound, decoded: whether its latents and its pixels are finite."""
    for denoised, finite, image in zip(sound, decoded.tolist(), images, strict=True):
        if not denoised:
            yield (
                "is not finite: the scene's weights are broken, or models.base overflows in models.dtype; set "
                "models.dtype to bfloat16 or float32, or extract the scene again"
            )
        elif not finite:
            yield (
                "is not finite: the VAE of models.base decodes its latents to no numbers, in float32 too; name a base "
                "model with a sound VAE"
            )
        elif (image == image[0, 0]).all():
            yield (
                "is one colour all over, which no prompt asks for; see that models.base draws pictures in models.dtype "
                "and with generate.sampler"
            )
        else:
            yield None


def _encode(
    model: SceneModel,
    negative: str,
    scenes: Sequence[DrawnScene],
    jobs: Sequence[tuple[DrawnScene, Variation]],
    guided: bool,
) -> None:
    """Text states, one row each, of every (scene, prompt) of the batch that the scene does not have yet."""
    wanted = dict.fromkeys((scene, picture.prompt) for scene, picture in jobs)
    if guided and not model.base.negative_is_zeros(negative):
        wanted |= dict.fromkeys((scene, negative) for scene in scenes)
    missing = [(scene, prompt) for scene, prompt in wanted if prompt not in scene.states]
    if not missing:
        return
    number = {scene: i for i, scene in enumerate(scenes)}
    device = model.base.device
    model.owners.rows(torch.tensor([number[scene] for scene, _ in missing], device=device), len(scenes))
    ids = torch.stack([model.tokens.ids(prompt) for _, prompt in missing])
    states = model.base.text_states(ids.to(device))
    for row, (scene, prompt) in enumerate(missing):
        scene.states[prompt] = states.row(row)

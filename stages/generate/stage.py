"""The generate stage: handles and weights in, pictures out. Pictures of several scenes share a batch."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from schemas.errors import SceneError
from schemas.job import JobSpec
from schemas.records import SceneOutput, SceneTask
from stages.generate.prompts import Picture, list_pictures
from stages.halving import halving
from stages.handles.full_weights import replaced
from stages.handles.lora.layout import LoraLayout
from stages.handles.scene_model import SceneModel
from stages.handles.weights import SceneWeights, unpack_scene
from stages.models.base.loading import load_base
from stages.models.base.pictures import decode_latents
from stages.models.base.sampler import denoise, initial_latents, make_scheduler
from stages.models.base.text_states import TextStates
from stages.models.device import pick_device, pick_dtype
from stages.models.place import bundled
from stages.stage import StageContext, failed
from stages.streams import stream_seed

FORMATS: dict[str, dict[str, Any]] = {
    "png": {"format": "PNG"},
    "jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    "webp": {"format": "WEBP", "quality": 95},
}


@dataclass(eq=False)
class _Scene:
    """A scene whose pictures are being made. left: pictures still to come; layout: of its factors, None
    without.
    """

    scene_id: str
    weights: SceneWeights
    layout: LoraLayout | None
    left: int
    output: SceneOutput
    error: BaseException | None = None
    flat: Tensor | None = None
    states: dict[str, TextStates] = field(default_factory=dict)

    @property
    def company(self) -> Hashable:
        """Scenes with the same value can share a batch."""
        return self.scene_id if self.weights.full else self.layout


class GenerateStage:
    """See `stages.stage.Stage`."""

    name: ClassVar[str] = "generate"
    table: ClassVar[str] = "variations"
    needs: ClassVar[tuple[str, ...]] = ("handles",)
    files: ClassVar[tuple[str, ...]] = ("handles",)

    def __init__(self, spec: JobSpec, context: StageContext) -> None:
        self.spec = spec
        self.model: SceneModel | None = None

    def prepare(self) -> None:
        """Nothing is shared."""

    def setup(self) -> None:
        """Loads the base."""
        models, device = self.spec.models, pick_device()
        dtype = pick_dtype(models.dtype, device)
        base = load_base(bundled(models.base, "models.base"), models.revision, dtype, device)
        self.model = SceneModel(base, self.spec.extract.placeholder)

    def process(self, tasks: Sequence[SceneTask]) -> Iterator[SceneOutput]:
        """Fills batches of `generate.batch` pictures across scenes; a scene comes out when its last picture
        is made.
        """
        waiting: list[tuple[_Scene, Picture]] = []
        size = self.spec.generate.batch
        for task in tasks:
            try:
                scene, pictures = self._open(task)
            except Exception as error:  # whatever is wrong with a scene is that scene's failure
                yield failed(task.scene_id, error)
                continue
            if not pictures:
                yield scene.output
                continue
            if waiting and waiting[0][0].company != scene.company:
                yield from self._make(waiting)
                waiting = []
            waiting += [(scene, picture) for picture in pictures]
            while len(waiting) >= size:
                yield from self._make(waiting[:size])
                waiting = waiting[size:]
        yield from self._make(waiting)

    def _open(self, task: SceneTask) -> tuple[_Scene, list[Picture]]:
        assert self.model is not None, "setup() comes before process()"
        rows = sorted(task.rows.get("handles", []), key=lambda row: row["index"])
        if not rows or "safetensors" not in task.files:
            raise SceneError("the scene has no handles or no weights; extract it first")
        weights = unpack_scene(task.files["safetensors"])
        tokens = [row["token"] for row in rows]
        widths = self.model.widths
        if weights.handles.shape != (len(tokens), sum(widths)) or weights.widths != widths:
            raise SceneError(
                f"the scene's weights hold {_size_text(len(weights.handles), weights.widths)} handle "
                f"rows, {_size_text(len(tokens), widths)} are needed; it was extracted with another "
                f"base model"
            )
        if tokens != self.model.tokens.names[: len(tokens)]:
            raise SceneError(f"the scene's handles are {tokens}; set extract.placeholder as it was when they were made")
        pictures = list_pictures(task.scene_id, tokens, [row["word"] for row in rows], self.spec.generate)
        layout = LoraLayout.of_state(weights.lora) if weights.lora else None
        flat = layout.flatten(weights.lora).to(self.model.base.device) if layout else None
        weights.lora = {}
        output = SceneOutput(task.scene_id)
        return _Scene(task.scene_id, weights, layout, len(pictures), output, flat=flat), pictures

    def _make(self, jobs: list[tuple[_Scene, Picture]]) -> Iterator[SceneOutput]:
        """Makes the pictures of one batch and yields the scenes that are complete with it. A batch that raises is split
        until the culprit is alone; its scene then fails, and what is left of its pictures is not drawn."""
        for (scene, picture), image in halving(self._sample, jobs, lambda job: job[0].error is None):
            if isinstance(image, Exception):
                scene.error = image
            elif image is None:
                scene.error = SceneError(f"picture {picture.key} is not finite; the scene's weights are broken")
            else:
                self._keep(scene, picture, image)
        for scene, _ in jobs:
            scene.left -= 1
            if scene.left == 0:
                scene.states.clear()
                yield scene.output if scene.error is None else failed(scene.scene_id, scene.error)

    @torch.no_grad()
    def _sample(self, jobs: Sequence[tuple[_Scene, Picture]]) -> list[NDArray[np.uint8] | None]:
        """Pictures [h, w, 3] of one batch, None where the latents are not finite."""
        assert self.model is not None
        model, settings, device = self.model, self.spec.generate, self.model.base.device
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
                self._encode(scenes, jobs, guided)
                text = TextStates.cat([scene.states[picture.prompt] for scene, picture in jobs])
                negative = None
                if guided:
                    negative = (
                        text.zeros_like()
                        if model.base.negative_is_zeros(settings.negative_prompt)
                        else TextStates.cat([s.states[settings.negative_prompt] for s, _ in jobs])
                    )
                model.owners.rows(torch.cat([owner, owner]) if guided else owner, len(scenes))
                noise = initial_latents(
                    [stream_seed(self.spec.seed, p.scene_id, p.purpose) for _, p in jobs], model.base.latent_shape
                )
                latents = denoise(
                    model.base.predict,
                    make_scheduler(settings.sampler, model.base.scheduler),
                    noise.to(device),
                    settings.steps,
                    settings.guidance,
                    text,
                    negative,
                )
            finally:
                model.release()
        sound = torch.isfinite(latents).flatten(1).all(1)
        latents = torch.where(sound[:, None, None, None], latents, 0.0)
        images = decode_latents(model.base, latents)
        return [image if good else None for image, good in zip(images, sound.tolist(), strict=True)]

    def _encode(self, scenes: list[_Scene], jobs: Sequence[tuple[_Scene, Picture]], guided: bool) -> None:
        """Text states, one row each, of every (scene, prompt) of the batch that the scene does not have yet."""
        assert self.model is not None
        model, negative = self.model, self.spec.generate.negative_prompt
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

    def _keep(self, scene: _Scene, picture: Picture, image: NDArray[np.uint8]) -> None:
        settings = self.spec.generate
        file = f"{picture.key}.{settings.format}"
        row = {
            "key": picture.key,
            "scene_id": picture.scene_id,
            "prompt": picture.prompt,
            "text": picture.text,
            "template": picture.template,
            "concepts": list(picture.concepts),
            "handles": [scene.weights.tokens[i] for i in picture.concepts],
            "seed": stream_seed(self.spec.seed, picture.scene_id, picture.purpose),
            "sampler": settings.sampler,
            "steps": settings.steps,
            "guidance": settings.guidance,
            "width": image.shape[1],
            "height": image.shape[0],
            "file": file,
        }
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, **FORMATS[settings.format])
        scene.output.rows.append(row)
        scene.output.files |= {file: buffer.getvalue(), f"{picture.key}.json": json.dumps(row).encode()}


def _size_text(handles: int, widths: Sequence[int]) -> str:
    return f"{handles} x {' + '.join(map(str, widths))}"

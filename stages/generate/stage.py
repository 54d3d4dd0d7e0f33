"""The generate stage: handles and weights in, pictures out. Pictures of several scenes share a batch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from schemas.errors import SceneError
from schemas.job import JobSpec
from schemas.masks import encode_mask
from schemas.outcomes import SceneOutput, SceneTask
from stages.generate.drawing import DrawnScene, draw
from stages.generate.given import GivenPictures
from stages.generate.place import Spot
from stages.generate.prompts import Variation, list_variations
from stages.generate.receiving import Learned, background_of
from stages.halving import halving
from stages.handles.lora.distilled import lay_under
from stages.handles.lora.layout import LoraLayout
from stages.handles.scene_model import SceneModel
from stages.handles.weights import unpack_scene
from stages.models.base.loading import load_base
from stages.models.base.sampler import unet_passes
from stages.models.device import pick_device, pick_dtype
from stages.models.distilled import distilled_file
from stages.models.place import bundled
from stages.pictures import encode
from stages.stage import StageContext, failed
from stages.streams import stream_seed


@dataclass(eq=False)
class _Scene:
    """A scene whose pictures are being made. left: pictures still to come."""

    drawn: DrawnScene
    left: int
    output: SceneOutput
    error: Exception | None = None


class GenerateStage:
    """See `stages.stage.Stage`. Progress is told as {"share", "picture", "pictures"}."""

    name: ClassVar[str] = "generate"
    table: ClassVar[str] = "variations"

    def __init__(self, spec: JobSpec, context: StageContext) -> None:
        self.spec, self.context = spec, context
        self.model: SceneModel | None = None
        self.drawn = self.pictures = 0
        self.given: GivenPictures | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """A picture that is placed needs to know what stands in the real one."""
        return ("handles", "concepts") if self._places else ("handles",)

    @property
    def files(self) -> tuple[str, ...]:
        """And the real one itself."""
        return ("handles", "scenes") if self._places and not self.spec.generate.place.given else ("handles",)

    @property
    def _places(self) -> bool:
        return self.spec.generate.mode == "place"

    def prepare(self) -> None:
        """Nothing is shared."""

    def setup(self) -> None:
        """Loads the base, and lists the pictures that are placed into, where they are given. Raises SpecError."""
        models, device = self.spec.models, pick_device()
        dtype = pick_dtype(models.dtype, device)
        base = load_base(bundled(models.base, "models.base"), models.revision, dtype, device)
        name = self.spec.generate.accelerate
        if name is not None:
            lay_under(base, distilled_file(name), name)
        unet_passes(self.spec.generate, base.scheduler)  # whether any step is guided, where only some shall be
        self.model = SceneModel(base, self.spec.extract.placeholder)
        if self._places and self.spec.generate.place.given:
            self.given = GivenPictures(self.spec)

    def process(self, tasks: Sequence[SceneTask]) -> Iterator[SceneOutput]:
        """Fills batches of `generate.batch` pictures across scenes; a scene comes out when its last picture
        is made.
        """
        waiting: list[tuple[_Scene, Variation]] = []
        self.drawn, self.pictures = 0, sum(len(self._pictures(task)) for task in tasks)
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
            if waiting and waiting[0][0].drawn.company != scene.drawn.company:
                yield from self._make(waiting)
                waiting = []
            waiting += [(scene, picture) for picture in pictures]
            while len(waiting) >= size:
                yield from self._make(waiting[:size])
                waiting = waiting[size:]
        yield from self._make(waiting)

    def _open(self, task: SceneTask) -> tuple[_Scene, list[Variation]]:
        assert self.model is not None, "setup() comes before process()"
        rows = sorted(task.rows.get("handles", []), key=lambda row: row["index"])
        if not rows or "safetensors" not in task.files:
            raise SceneError("the scene has no handles or no weights; extract it first")
        weights = unpack_scene(task.files["safetensors"])
        if weights.full and self.spec.generate.accelerate is not None:
            raise SceneError(
                "the scene has weights of its own in the place of the base's, where generate.accelerate would lie; "
                "leave it out, or extract the scene with extract.tuning: lora"
            )
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
        pictures = self._pictures(task)
        for prompt, concepts in dict.fromkeys((picture.prompt, picture.concepts) for picture in pictures):
            self.model.tokens.check("generate.prompts", prompt, concepts, len(tokens))
        self.model.tokens.check("generate.negative_prompt", self.spec.generate.negative_prompt, (), len(tokens))
        layout = LoraLayout.of_state(weights.lora) if weights.lora else None
        flat = layout.flatten(weights.lora).to(self.model.base.device) if layout else None
        weights.lora = {}
        spots = self._spots(task, pictures)
        return _Scene(
            DrawnScene(weights, layout, flat, spots=spots), len(pictures), SceneOutput(task.scene_id)
        ), pictures

    def _spots(self, task: SceneTask, pictures: Sequence[Variation]) -> dict[int, Spot]:
        """Number of a picture -> where in a real one it is drawn; of a whole new picture nothing."""
        if not self._places or not pictures:
            return {}
        learned = Learned(task, self.spec)
        return {picture.number: learned.spot(picture, self.given) for picture in pictures}

    def _pictures(self, task: SceneTask) -> list[Variation]:
        """Those that the scene is to have."""
        rows = sorted(task.rows.get("handles", []), key=lambda row: row["index"])
        tokens, words = ([row[name] for row in rows] for name in ("token", "word"))
        return list_variations(task.scene_id, tokens, words, self.spec.generate, background_of(task))

    def _make(self, jobs: list[tuple[_Scene, Variation]]) -> Iterator[SceneOutput]:
        """Makes the pictures of one batch and yields the scenes that are complete with it. A batch that raises is split
        until the culprit is alone; its scene then fails, and what is left of its pictures is not drawn."""
        for (scene, picture), image in halving(self._draw, jobs, lambda job: job[0].error is None):
            if isinstance(image, Exception):
                scene.error = scene.error or image
            else:
                self._keep(scene, picture, image)
        self.drawn += len(jobs)
        if jobs:
            share = min(1.0, self.drawn / self.pictures)
            self.context.progress({"share": share, "picture": self.drawn, "pictures": self.pictures})
        for scene, _ in jobs:
            scene.left -= 1
            if scene.left == 0:
                scene.drawn.states.clear()
                yield scene.output if scene.error is None else failed(scene.output.scene_id, scene.error)

    def _draw(self, jobs: Sequence[tuple[_Scene, Variation]]) -> list[NDArray[np.uint8] | SceneError]:
        assert self.model is not None
        drawn = [(scene.drawn, picture) for scene, picture in jobs]
        return draw(self.model, self.spec.generate, self.spec.seed, drawn)

    def _keep(self, scene: _Scene, picture: Variation, image: NDArray[np.uint8]) -> None:
        settings = self.spec.generate
        file = f"{picture.key}.{settings.format}"
        row = {
            "key": picture.key,
            "scene_id": picture.scene_id,
            "prompt": picture.prompt,
            "text": picture.text,
            "template": picture.template,
            "concepts": list(picture.concepts),
            "handles": [scene.drawn.weights.tokens[i] for i in picture.concepts],
            "seed": stream_seed(self.spec.seed, picture.scene_id, picture.purpose),
            "sampler": settings.sampler,
            "steps": settings.steps,
            "guidance": settings.guidance,
            "width": image.shape[1],
            "height": image.shape[0],
            "file": file,
            "mode": settings.mode,
            "region": None,
            "replaced": picture.replaced,
            "into": None,
        }
        spot = scene.drawn.spots.pop(picture.number, None)
        region = {}
        if spot is not None:
            row["region"], row["into"] = encode_mask(spot.region), spot.into
            shown = Image.fromarray(spot.region.astype(np.uint8) * np.uint8(255))
            region[f"{picture.key}.region.png"] = encode(shown, "png")
            if spot.into is not None:
                region[f"{picture.key}.source.png"] = encode(Image.fromarray(spot.picture), "png")
        made = {file: encode(Image.fromarray(image), settings.format), f"{picture.key}.json": json.dumps(row).encode()}
        scene.output.rows.append(row)
        scene.output.files |= {**made, **region}


def _size_text(handles: int, widths: Sequence[int]) -> str:
    return f"{handles} x {' + '.join(map(str, widths))}"

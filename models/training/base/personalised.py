"""Scenes of held-out toys taken through the product's own stages, without Ray: what a job would make of them.

The scenes are neither the demo's nor the protocol's: settings may be chosen on them.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.training.world.roster import NEW_COMBINATIONS, NEW_SHAPES, Toy
from models.training.world.scene import Scene
from models.training.world.world import ToySettings
from schemas.bundled import SETTINGS
from schemas.fields import under
from schemas.job import JobSpec
from schemas.masks import decode_mask
from schemas.methods import as_method
from schemas.outcomes import SceneOutput, SceneTask
from schemas.spec_file import spec_from
from stages.extract.stage import ExtractStage
from stages.generate.stage import GenerateStage
from stages.segment.stage import SegmentStage
from stages.stage import StageContext

KINDS = {"new combinations": NEW_COMBINATIONS, "new silhouettes": NEW_SHAPES}
"""Of held-out toys: figures are given for each."""
SEED = 951
"""Of the scenes."""
_SAME = 0.5
"""IoU from which on a concept that the mask model finds is a toy's."""
PROMPTS = ("a photo of {handles} in the snow", "a photo of {handles} on grass", "a photo of {handles} in the street")


@dataclass
class Subject:
    """A scene on its way. toys: for each concept that was found its toy, None where it is nobody's; missed: toys of the
    scene that are no concept; pictures: uint8 [h, w, 3] by (concepts, prompt's number, repeat)."""

    kind: str
    scene: Scene
    task: SceneTask
    toys: list[Toy | None] = field(default_factory=list)
    missed: int = 0
    failure: str | None = None
    pictures: dict[tuple[tuple[int, ...], int, int], NDArray[np.uint8]] = field(default_factory=dict)


def subjects(kind: str, singles: int, pairs: int, seed: int = SEED) -> list[Subject]:
    """`singles` scenes of one toy and `pairs` of two, of a kind."""
    found: list[Subject] = []
    for count, counts in ((singles, (0.0, 1.0)), (pairs, (0.0, 0.0, 1.0))):
        world = ToySettings(roster=KINDS[kind], toy_counts=counts, seed=seed).open()
        for index in range(count):
            scene = world.scene(index)
            name = f"{kind[4:7]}{len(scene.objects)}{index:03d}"
            files = {"png": _png(scene.image)}
            found.append(Subject(kind, scene, SceneTask(name, rows={"scenes": [{"scene_id": name}]}, files=files)))
    return found


def spec_of(models: Mapping[str, str], method: str, settings: Mapping[str, Any], images: int) -> JobSpec:
    """The spec of a job on such scenes. models: `base` and `sam`, folders; settings: of `extract`, `generate` and
    `segment`, over the seedling's own."""
    bundled = SETTINGS["base"]["seedling"] | SETTINGS["sam"]["seedling"]
    tree: dict[str, Any] = {
        section: under(settings.get(section, {}), bundled.get(section, {})) for section in ("extract", "segment")
    }
    given = {"prompts": list(PROMPTS), "subsets": ["singles", "union"], "images_per_prompt": images}
    tree["generate"] = under(settings.get("generate", {}), given | bundled["generate"])
    tree |= {"source": {"uri": "scenes"}, "output": "out", "models": dict(models)}
    spec = spec_from(tree, "the settings")
    if method == "break_a_scene":
        return spec
    whole = spec.model_dump(mode="json")
    return spec_from(whole | {"extract": as_method(whole["extract"], method)}, "the settings")


def find_concepts(spec: JobSpec, given: Sequence[Subject], shared: str) -> None:
    """The mask model's concepts of every scene, and whose they are."""
    stage = SegmentStage(spec, StageContext(shared))
    stage.setup()
    for subject, output in zip(given, stage.process([subject.task for subject in given]), strict=True):
        if not _keep(subject, output, "concepts"):
            subject.missed = len(subject.scene.objects)
            continue
        masks = [decode_mask(row["mask"]) for row in output.rows]
        owners: list[Toy | None] = [None] * len(masks)
        for toy, true in zip(subject.scene.objects, subject.scene.masks, strict=True):
            shared_ = [(mask & true).sum() / (mask | true).sum() for mask in masks]
            best = int(np.argmax(shared_))
            if shared_[best] >= _SAME and owners[best] is None:
                owners[best] = toy
            else:
                subject.missed += 1
        subject.toys = owners


def learn_and_draw(spec: JobSpec, given: Sequence[Subject], shared: str) -> None:
    """Handles of every scene that has concepts, then its pictures."""
    extract = ExtractStage(spec, StageContext(shared))
    extract.prepare()
    extract.setup()
    waiting = [subject for subject in given if subject.failure is None]
    for subject, output in zip(waiting, extract.process([s.task for s in waiting]), strict=True):
        if _keep(subject, output, "handles"):
            subject.task.files["safetensors"] = next(v for k, v in output.files.items() if k.endswith(".safetensors"))
    generate = GenerateStage(spec, StageContext(shared))
    generate.setup()
    waiting = [subject for subject in waiting if subject.failure is None]
    by_name = {subject.task.scene_id: subject for subject in waiting}
    templates = list(spec.generate.prompts)
    for output in generate.process([subject.task for subject in waiting]):
        subject = by_name[output.scene_id]
        if not _keep(subject, output, "variations"):
            continue
        repeats: dict[tuple[tuple[int, ...], int], int] = {}
        for row in sorted(output.rows, key=lambda row: row["key"]):
            place = tuple(row["concepts"]), templates.index(row["template"])
            repeats[place] = repeats.get(place, -1) + 1
            with Image.open(io.BytesIO(output.files[row["file"]])) as image:
                subject.pictures[(*place, repeats[place])] = np.asarray(image.convert("RGB"))


def _keep(subject: Subject, output: SceneOutput, table: str) -> bool:
    """The output's rows into the task; False where the scene failed."""
    if output.failure is not None:
        subject.failure = output.failure.message
        return False
    subject.task.rows[table] = output.rows
    return True


def _png(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()

"""New pictures for `benchmarks.downstream`: the product's stages without Ray, labelled as `unscene dataset` would.

`variations`: the paper's method, each toy alone and both of a scene together in the six shown places. `placed`: the
same handles drawn into free places of their own real scenes. `ti_m`: textual inversion, the same prompts. The real
scenes come with their masks and names, as a labelled data set does; labels of new pictures are the scores' masks, and
what a data set would not hold is left out.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.downstream_scenes import SHOWN, Labelled, real_scenes, toys_of
from models.training.world.places.backgrounds import BACKGROUNDS
from pipeline.dataset.choices import Choices, Format, Scenes
from pipeline.dataset.classes import Classes
from pipeline.dataset.labels import Unlabelled, own_masks, things_found
from pipeline.dataset.picking import Picker
from pipeline.dataset.source import SceneRows
from schemas.job import JobSpec
from schemas.masks import decode_mask
from schemas.outcomes import SceneTask
from schemas.spec_file import spec_from
from stages.evaluate.stage import EvaluateStage
from stages.extract.stage import ExtractStage
from stages.generate.stage import GenerateStage
from stages.pictures import encode, read_picture
from stages.segment.stage import SegmentStage
from stages.stage import Stage, StageContext

METHODS: dict[str, tuple[str, ...]] = {"break_a_scene": ("variations", "placed"), "ti_m": ("ti_m",)}
"""Method of `extract` -> the kinds of pictures that are drawn with its handles."""
PLACED_A_TOY = 4
"""Pictures into which each toy of a scene is placed."""


def spec_of(method: str, kind: str) -> JobSpec:
    """The spec of a job that draws a kind of pictures: the seedling's own settings, and the defaults' way to keep."""
    prompts = [f"a photo of {{handles}} {BACKGROUNDS[place].phrases[0]}" for place in SHOWN]
    generate: dict[str, Any] = {"prompts": prompts, "subsets": ["singles", "union"], "images_per_prompt": 1}
    if kind == "placed":
        generate = {"mode": "place", "place": {"region": "add"}, "images_per_prompt": PLACED_A_TOY}
    tree = {
        "source": {"uri": "scenes"},
        "output": "out",
        "models": dict.fromkeys(("base", "sam", "clip", "identity"), "seedling"),
        "extract": {"method": method, "prior": {"images": 8}, "batch": 8, "checkpoint_every_s": None},
        "generate": generate,
        "evaluate": {"enabled": True},
    }
    return spec_from(tree, "the settings")


def make(method: str, seed: int, count: int, shared: str) -> dict[str, tuple[list[Labelled], Counter[str]]]:
    """Kind -> the pictures of a seed's first real scenes that a data set would hold, and what was left out, by reason.
    shared: folder for the prior set, which all methods and seeds have in common."""
    tasks = _tasks(seed, count)
    names = [toy.name for toy in toys_of(seed)]
    context = StageContext(shared)
    kinds = METHODS[method]
    spec = spec_of(method, kinds[0])
    lost: Counter[str] = Counter()
    _run(SegmentStage(spec, context), tasks, "concepts", lost)
    _run(ExtractStage(spec, context), tasks, "handles", lost)
    made = {}
    for kind in kinds:
        spec = spec_of(method, kind)
        own = [SceneTask(task.scene_id, dict(task.rows), dict(task.files)) for task in tasks]
        left_out = Counter(lost)
        _run(GenerateStage(spec, context), own, "variations", left_out)
        _run(EvaluateStage(spec, context), own, "scores", left_out)
        made[kind] = labelled(own, names, left_out), left_out
    return made


def _tasks(seed: int, count: int) -> list[SceneTask]:
    """The seed's real scenes as ingest would hand them on, with their masks and names."""
    names = [toy.name for toy in toys_of(seed)]
    tasks = []
    for number, real in enumerate(real_scenes(seed, count)):
        scene_id = f"{seed:02d}x{number:02d}"
        files = {"png": encode(Image.fromarray(real.image), "png")}
        for slot, mask in enumerate(real.masks):
            files[f"mask{slot}.png"] = encode(Image.fromarray(mask.astype(np.uint8) * np.uint8(255)), "png")
        row = {"scene_id": scene_id, "words": [names[i - 1] for i in real.classes], "masks": None}
        tasks.append(SceneTask(scene_id, {"scenes": [row]}, files))
    return tasks


def _run(stage: Stage, tasks: list[SceneTask], table: str, lost: Counter[str]) -> None:
    """What a stage makes, into the tasks; a scene that failed leaves them, and is counted."""
    stage.prepare()
    stage.setup()
    outputs = {output.scene_id: output for output in stage.process(list(tasks))}
    for task in list(tasks):
        output = outputs[task.scene_id]
        if output.failure is not None:
            lost[f"failed: {output.failure.message}"] += 1
            tasks.remove(task)
            continue
        task.rows[table] = output.rows
        for name, data in output.files.items():
            task.files[name.removeprefix(task.scene_id).lstrip(".-")] = data


def labelled(tasks: Sequence[SceneTask], names: Sequence[str], left_out: Counter[str]) -> list[Labelled]:
    """The pictures that are in, with their things; adds to `left_out`. names: of the classes, in their order."""
    picker = Picker(Choices(Format.COCO, Scenes.NONE, validation=0.0), Classes(tuple(names)), frozenset())
    found = []
    for task in tasks:
        rows = {row["key"]: row for row in task.rows["variations"]}
        scores = {row["key"]: row for row in task.rows["scores"]}
        placed = frozenset(key for key, row in rows.items() if row["mode"] == "place")
        scene = SceneRows(task.scene_id, 0, task.rows["concepts"], list(rows), scores, None, placed)
        for pick in picker.picked(scene):
            row = rows[pick.key]
            region = decode_mask(row["region"]) if row["region"] else None
            try:
                own = own_masks(pick, task.rows["concepts"]) if pick.standing else None
                things = things_found(pick, _file(task, pick.mask), region, own)
            except Unlabelled as reason:
                left_out[str(reason)] += 1
                continue
            masks = np.stack([thing.mask for thing in things])
            classes = tuple(thing.class_ for thing in things)
            found.append(Labelled(read_picture(_file(task, pick.file)), masks, classes, int(task.scene_id[3:])))
    left_out.update(picker.left_out)
    left_out["kept"] = len(found)
    return found


def _file(task: SceneTask, name: str | None) -> bytes:
    assert name is not None, "a new picture has a score mask"
    return task.files[name.removeprefix(f"{task.scene_id}-")]


def save(file: Path, pictures: Sequence[Labelled]) -> None:
    """As `load` reads them; the file is there when it is whole."""
    owners = [number for number, shown in enumerate(pictures) for _ in shown.classes]
    part = file.with_suffix(".part")
    with part.open("wb") as out:
        np.savez_compressed(
            out,
            images=np.stack([shown.image for shown in pictures]) if pictures else np.zeros((0, 128, 128, 3), np.uint8),
            masks=np.concatenate([shown.masks for shown in pictures]) if owners else np.zeros((0, 128, 128), bool),
            owners=np.array(owners, int),
            classes=np.array([class_ for shown in pictures for class_ in shown.classes], int),
            scenes=np.array([shown.scene for shown in pictures], int),
        )
    part.replace(file)


def load(file: Path) -> list[Labelled]:
    """Pictures that `save` wrote."""
    with np.load(io.BytesIO(file.read_bytes())) as held:
        images, masks, owners, classes, scenes = (
            held[name] for name in ("images", "masks", "owners", "classes", "scenes")
        )
    return [_one(images[i], masks, classes, owners == i, int(scenes[i])) for i in range(len(images))]


def _one(
    image: NDArray[np.uint8], masks: NDArray[np.bool_], classes: NDArray[np.int64], of: NDArray[np.bool_], scene: int
) -> Labelled:
    return Labelled(image, masks[of], tuple(int(class_) for class_ in classes[of]), scene)

"""The real picture of a scene, and where in it each of its pictures is drawn."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.errors import SceneError
from schemas.job import JobSpec
from schemas.masks import decode_mask
from schemas.outcomes import SceneTask
from stages.generate.place import Canvas, Spot
from stages.generate.prompts import Variation
from stages.generate.regions import region_of
from stages.generate.unseen import without
from stages.pictures import read_picture


def background_of(task: SceneTask) -> int | None:
    """Which concept of the scene is its background; None where that is none, or the task has no concepts."""
    grounds = [row["index"] for row in task.rows.get("concepts", []) if row.get("origin") == "background"]
    return int(grounds[0]) if grounds else None


def read_spots(task: SceneTask, pictures: Sequence[Variation], spec: JobSpec) -> dict[int, Spot]:
    """Number of a picture -> where it is drawn. Raises SceneError where the scene's picture or concepts are not there,
    or a mask is not of the picture."""
    rows = sorted(task.rows.get("concepts", []), key=lambda row: row["index"])
    if not rows or "png" not in task.files:
        raise SceneError("the scene has no concepts or no picture, so nothing can be placed in it; extract it again")
    real = read_picture(task.files["png"])
    masks = [decode_mask(row["mask"]) for row in rows]
    if any(mask.shape != real.shape[:2] or not mask.any() for mask in masks):
        raise SceneError("a mask of the scene is empty or of another size than its picture; segment it again")
    background, settings = background_of(task), spec.generate.place
    canvases = {
        asked: Canvas(real, without(real, [masks[i] for i in asked if settings.hide and i != background]))
        for asked in dict.fromkeys(picture.concepts for picture in pictures)
    }
    return {
        picture.number: Spot(canvases[picture.concepts], region_of(picture, masks, background, settings, spec.seed))
        for picture in pictures
    }

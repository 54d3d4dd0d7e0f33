"""What a scene's concepts are drawn into: its own real picture, or one that was given, and where in it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schemas.errors import SceneError
from schemas.job import JobSpec
from schemas.masks import decode_mask
from schemas.outcomes import SceneTask
from stages.generate.given import GivenPictures
from stages.generate.place import Spot
from stages.generate.prompts import Variation
from stages.generate.regions import region_of
from stages.generate.unseen import shift_to, without
from stages.masks.shapes import Mask
from stages.pictures import read_picture


def background_of(task: SceneTask) -> int | None:
    """Which concept of the scene is its background; None where that is none, or the task has no concepts."""
    grounds = [row["index"] for row in task.rows.get("concepts", []) if row.get("origin") == "background"]
    return int(grounds[0]) if grounds else None


class Learned:
    """Where a scene's handles were learned: its picture, and the masks of its concepts."""

    def __init__(self, task: SceneTask, spec: JobSpec) -> None:
        """Raises SceneError where the scene has no concepts, or a mask is empty."""
        rows = sorted(task.rows.get("concepts", []), key=lambda row: row["index"])
        self.masks: list[Mask] = [decode_mask(row["mask"]) for row in rows]
        self._real = read_picture(task.files["png"]) if "png" in task.files else None
        self._settings, self._seed, self._background = spec.generate.place, spec.seed, background_of(task)
        self._around: dict[tuple[int, ...], NDArray[np.uint8]] = {}
        if not rows or not all(mask.any() for mask in self.masks):
            raise SceneError("the scene has no concepts, or an empty mask, so nothing can be placed; segment it again")

    def spot(self, picture: Variation, given: GivenPictures | None = None) -> Spot:
        """Where one of the scene's pictures is drawn: into its own picture, or one of those given. Raises SceneError
        where that is not there, or a mask is of another size."""
        if given is not None:
            real, region, into = given.turn(picture)
            return Spot(real, region, real, self._shift(picture, region), into)
        if self._real is None:
            raise SceneError("the scene has no picture, so nothing can be placed in it; extract it again")
        if any(mask.shape != self._real.shape[:2] for mask in self.masks):
            raise SceneError("a mask of the scene is of another size than its picture; segment it again")
        if picture.concepts not in self._around:
            hidden = self._things(picture) if self._settings.hide else []
            self._around[picture.concepts] = without(self._real, hidden)
        region = region_of(picture, self.masks, self._background, self._settings, self._seed)
        return Spot(self._real, region, self._around[picture.concepts], self._shift(picture, region))

    def _shift(self, picture: Variation, region: Mask) -> tuple[int, int]:
        things = self._things(picture)
        return shift_to(region, np.logical_or.reduce(things)) if things and self._settings.align else (0, 0)

    def _things(self, picture: Variation) -> list[Mask]:
        """The masks of the concepts asked for, without the background."""
        return [self.masks[i] for i in picture.concepts if i != self._background]

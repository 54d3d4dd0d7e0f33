"""What the source picture says of a scene's concepts, as every one of its variations is compared with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from schemas.errors import SceneError
from schemas.masks import decode_mask
from schemas.outcomes import SceneTask
from stages.evaluate.copies import Thumbnail, thumbnail
from stages.evaluate.matching import Similarities
from stages.evaluate.reference import threshold
from stages.masks.shapes import Mask
from stages.masks.views import on_black
from stages.models.identity import IdentityJudge
from stages.pictures import read_picture


@dataclass(frozen=True)
class SourceScene:
    """features: float32 [n, d], unit vectors of the n concepts, by index. things: indices of all but the background;
    ground: the background's index, if it is a concept. picture: [h, w, 3]; masks: [h, w], one a concept. words: the
    concepts' own, by index. found_at: the cosine from which on a mask counts as one of them.
    """

    features: NDArray[np.float32]
    things: list[int]
    ground: int | None
    small: Thumbnail
    picture: NDArray[np.uint8]
    masks: list[Mask]
    words: list[str | None]
    found_at: float

    def similarities(self, views: NDArray[np.float32]) -> Similarities:
        """Cosines [n, m] of the concepts with m views [m, d]."""
        return np.asarray(self.features @ views.T, dtype=np.float32)


def read_source(task: SceneTask, judge: IdentityJudge, found_at: float | Literal["auto"] = "auto") -> SourceScene:
    """Raises SceneError where the scene's picture or concepts are not there."""
    rows = sorted(task.rows.get("concepts", []), key=lambda row: row["index"])
    if not rows or "png" not in task.files:
        raise SceneError("the scene has no concepts or no picture; its variations cannot be compared with anything")
    picture = read_picture(task.files["png"])
    masks = [decode_mask(row["mask"]) for row in rows]
    if any(mask.shape != picture.shape[:2] for mask in masks):
        raise SceneError(f"the scene's picture is {picture.shape[1]} x {picture.shape[0]} pixels, its masks are not")
    grounds = [i for i, row in enumerate(rows) if row.get("origin") == "background"]
    features = finite(judge.features(np.stack([on_black(picture, mask) for mask in masks])).numpy())
    things = [i for i in range(len(rows)) if i not in grounds]
    told = things or list(range(len(rows)))  # a background covers all ground there is, and nothing would be left of it
    at = threshold(picture, [masks[i] for i in told], features[told], judge) if found_at == "auto" else found_at
    words = [row.get("word") for row in rows]
    ground = grounds[0] if grounds else None
    return SourceScene(features, things, ground, thumbnail(picture), picture, masks, words, at)


def finite(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same. Raises SceneError where a judge gave no number."""
    if not np.isfinite(features).all():
        raise SceneError("a judge's features are not finite; models.clip or models.identity is broken")
    return features

"""A scene as the world composes it: its picture, the exact masks of what is seen on it, and the facts of that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.training.world.captions import draw_caption
from models.training.world.roster import Toy


@dataclass(frozen=True)
class Scene:
    """image: uint8 [h, w, 3]; masks: bool [k, h, w], visible pixels only, one per object; background: an index. A scene
    has many captions."""

    image: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    objects: tuple[Toy, ...]
    background: int

    def caption(self, rng: np.random.Generator) -> str:
        """One caption drawn at random; "" (no conditioning) for one in ten."""
        return draw_caption(self.objects, self.background, rng)

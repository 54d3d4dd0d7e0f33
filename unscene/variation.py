"""One new picture of a scene."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.shards.reader import Row
from schemas.errors import OutputError
from schemas.masks import decode_mask
from stages.pictures import FORMATS, open_picture

if TYPE_CHECKING:
    from unscene.scene import Scene


@dataclass(frozen=True)
class Instance:
    """A mask that the scores found in a picture. id: from 1, in it; concept: index of what it shows; mask: bool
    [height, width]. likeness: its cosine with the concept; None where it stands in the real picture that was drawn
    into, by the scene's own mask."""

    id: int
    concept: int
    mask: NDArray[np.bool_]
    likeness: float | None


class Variation:
    """row: of the table `variations`; scores: of `scores`, None where it has none (yet)."""

    def __init__(self, scene: Scene, row: Row, scores: Row | None) -> None:
        self.scene, self.row, self.scores = scene, row, scores

    @property
    def key(self) -> str:
        return str(self.row["key"])

    @property
    def prompt(self) -> str:
        """As it was drawn, with handles; `row["text"]` has words for them."""
        return str(self.row["prompt"])

    @property
    def keep(self) -> bool | None:
        """Whether its scores say that it is worth keeping; None where it has none. `scores["reason"]`: why not."""
        return None if self.scores is None else bool(self.scores["keep"])

    def __repr__(self) -> str:
        return f"<variation {self.key} {self.prompt!r}>"

    @cached_property
    def picture(self) -> Image.Image:
        """RGB."""
        return open_picture(self.scene.output.file("variations", self.scene, self.row["file"]))

    @cached_property
    def region(self) -> NDArray[np.bool_] | None:
        """Where it was drawn into a real picture, bool [height, width]; None where all of it is new."""
        return decode_mask(self.row["region"]) if self.row.get("region") else None

    @cached_property
    def mask(self) -> NDArray[np.uint8] | None:
        """What the scores found in it, uint8 [height, width]: 0 nothing, i + 1 concept i; outside a region of
        the scene's own picture its own masks. None without scores."""
        if self.scores is None:
            return None
        return self._labels("mask")

    @cached_property
    def instances(self) -> list[Instance] | None:
        """Each mask that the scores found in it, of copies of a concept one each. None without scores.

        Raises OutputError where an older Unscene scored it, which told copies not apart.
        """
        if self.scores is None:
            return None
        if self.scores.get("instances") is None:
            raise OutputError(
                f"{self.key}: an older Unscene scored it, and gave its masks no ids; read `mask`, or draw and score "
                "anew in a job with source.handles"
            )
        ids = self._labels("instance")
        return [
            Instance(one["id"], one["concept"], ids == one["id"], one["likeness"]) for one in self.scores["instances"]
        ]

    def _labels(self, column: str) -> NDArray[np.uint8]:
        assert self.scores is not None
        data = self.scene.output.file("scores", self.scene, self.scores[column])
        return np.asarray(Image.open(io.BytesIO(data), formats=FORMATS))

"""One scene of an OUTPUT: its picture, concepts, handles and variations."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.export.handles import export_from
from pipeline.shards.reader import Row
from pipeline.wording import within
from schemas.masks import decode_mask
from stages.pictures import open_picture
from unscene.variation import Variation

if TYPE_CHECKING:
    from unscene.output import Output


class Scene:
    """id: 16 hex digits; row: its row of the table `scenes`. What a stage has not made is empty; a file that is not
    there is a CommandError that says why."""

    def __init__(self, output: Output, scene_id: str, shard: int, row: Row) -> None:
        self.output, self.id, self.shard, self.row = output, scene_id, shard, row

    @property
    def uri(self) -> str:
        """Where the source file was."""
        return str(self.row["uri"])

    @property
    def name(self) -> str:
        """The source file's name."""
        return self.uri.rstrip("/").rsplit("/", 1)[-1]

    @property
    def path(self) -> str:
        """The source file with its folders, from the source on: `birds/1.jpg`."""
        return within(self.uri, self.output.source)

    def __repr__(self) -> str:
        return f"<scene {self.id} {self.path}{': failed' if self.failure else ''}>"

    @cached_property
    def failure(self) -> Row | None:
        """Its row of `failures`, if it has failed: `stage`, `error`, `message`, `attempt`."""
        return self.output.failure(self)

    @cached_property
    def picture(self) -> Image.Image:
        """The prepared picture, RGB and square, at the base's size. All masks lie on it."""
        return open_picture(self.output.file("scenes", self, f"{self.id}.png"))

    @cached_property
    def concepts(self) -> list[Row]:
        """Rows of the table `concepts`, in their order."""
        return sorted(self.output.of_scene("concepts", self), key=lambda row: row["index"])

    @cached_property
    def masks(self) -> NDArray[np.bool_]:
        """bool [concepts, side, side]; with no concepts [0, 0, 0]."""
        masks = [decode_mask(row["mask"]) for row in self.concepts]
        return np.stack(masks) if masks else np.zeros((0, 0, 0), dtype=bool)

    @property
    def words(self) -> list[str | None]:
        """The word of each concept; None where nobody has named it."""
        return [row["word"] for row in self.concepts]

    @cached_property
    def handles(self) -> list[Row]:
        """Rows of the table `handles`, one a concept, in their order."""
        return sorted(self.output.of_scene("handles", self), key=lambda row: row["index"])

    @property
    def tokens(self) -> list[str]:
        """The handles as prompts name them."""
        return [row["token"] for row in self.handles]

    @property
    def embeddings(self) -> NDArray[np.float32]:
        """float32 [handles, width of the text encoder]; of two text encoders, their widths side by side."""
        rows = [row["embedding"] for row in self.handles]
        return np.asarray(rows, dtype=np.float32) if rows else np.zeros((0, 0), dtype=np.float32)

    @property
    def curves(self) -> dict[str, list[float]]:
        """How its handles were learned: `step`, and a loss of each kind at every one of them."""
        return dict(self._info()["curves"])

    @cached_property
    def variations(self) -> list[Variation]:
        """Its new pictures, in their order, with their scores where the job has any."""
        scores = {row["key"]: row for row in self.output.of_scene("scores", self)}
        return [Variation(self, row, scores.get(row["key"])) for row in self.output.of_scene("variations", self)]

    def load_into(self, pipe: Any) -> list[str]:
        """Loads its handles and factors into a diffusers pipeline of the base that they were learned on, such as
        `Output.pipeline()`, and returns the tokens to write in prompts.

        Several scenes fit into one pipeline: a token that is taken gets the scene's id as a suffix, and the factors
        loaded last are the active ones; `pipe.set_adapters(scene.id)` goes back to another's. Raises CommandError where
        the pipeline is of another base, mixes dtypes or holds the scene already, and where the scene has no handles.
        """
        weights = self.output.file("handles", self, f"{self.id}.safetensors")
        from stages.handles.diffusers_pipeline import load_scene  # loads torch: a mistake is told before

        return list(load_scene(pipe, weights, self._info()))

    def export(self, folder: str | Path) -> list[str]:
        """`unscene export`: its handles as files that diffusers loads, with a README; what to tell of them."""
        return list(export_from(self.output.storage, self.id, Path(folder)))

    def _info(self) -> dict[str, Any]:
        return dict(json.loads(self.output.file("handles", self, f"{self.id}.json")))

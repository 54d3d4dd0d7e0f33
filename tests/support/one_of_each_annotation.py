"""A bucket with one of every kind of annotation that people bring, good and bad, and what becomes of each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.one_of_everything import BOX, FAILED, HEIGHT, LOST, MASK, SCENE, WIDTH, Bucket, Fate, disc

POLYGON = [[BOX[0], BOX[1], BOX[2], BOX[1], BOX[2], BOX[3], BOX[0], BOX[3]]]


class Annotations(Bucket):
    """Pictures with a COCO file, `instances.json`, and the fate of each annotation beside those of the files."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.of: dict[str, Fate] = {}
        self._images: list[dict[str, Any]] = []
        self._rows: list[dict[str, Any]] = []

    def image(self, name: str, file_name: str | None = None, fate: Fate = SCENE, **row: Any) -> Any:
        if fate[0] != "left out":
            self.picture(name, "JPEG" if name.lower().endswith("jpg") else "PNG", fate)
        id = row.pop("id", len(self._images) + 1)
        self._images.append({"id": id, "file_name": file_name or name, "width": WIDTH, "height": HEIGHT, **row})
        return id

    def annotate(self, image: Any, fate: Fate = MASK, segmentation: Any = None, **row: Any) -> None:
        id = len(self._rows) + 1
        shape = POLYGON if segmentation is None else segmentation
        self._rows.append({"id": id, "image_id": image, "category_id": 1, "iscrowd": 0, "segmentation": shape, **row})
        self.of[str(row.get("id", id))] = fate

    def write(self) -> None:
        categories = [{"id": 1, "name": "box"}, {"id": 2, "name": None}]
        document = {"images": self._images, "annotations": self._rows, "categories": categories}
        self.put("instances.json", json.dumps(document).encode(), ("left out", "the annotation file"))


def runs_of(inside: np.ndarray) -> list[int]:
    """COCO's uncompressed counts: lengths of runs in column order, zeros first."""
    flat = np.concatenate([[0], inside.ravel(order="F").astype(int)])
    return [int(n) for n in np.diff(np.concatenate([[0], np.flatnonzero(np.diff(flat)), [inside.size]]))]


def bucket_with_coco(folder: Path) -> Annotations:
    """One of every kind of annotation; read with `masks: coco`, `source.crowds: skip`."""
    made = Annotations(folder)
    good = made.image("good.png")
    made.annotate(good)
    made.annotate(good, segmentation={"size": [HEIGHT, WIDTH], "counts": runs_of(disc())})
    made.annotate(good, ("mask", "it is marked iscrowd, and source.crowds is skip"), iscrowd=1)
    made.annotate(good, ("mask", "it has a box and no segmentation"), segmentation=[], bbox=[1, 1, 9, 9])
    made.annotate(good, ("mask", "outside the crop"), segmentation=[[0, 0, 9, 0, 9, 64, 0, 64]])
    pairs = [[[x, y] for x, y in zip(POLYGON[0][::2], POLYGON[0][1::2], strict=True)]]
    made.annotate(made.image("pairs.png"), segmentation=pairs, category_id=2)
    made.annotate(made.image("text id.png", id="77"), id="77a", category_id=99)
    made.annotate(made.image("photo%201.png", "photo%201.png"))
    made.annotate(made.image("escaped 1.png", "escaped%201.png"))
    made.annotate(made.image("Case.PNG", "case.png"))
    made.annotate(made.image("suffix.jpg", "suffix.png"))
    made.annotate(made.image("deep/windows.png", "C:\\work\\deep\\windows.png"))
    many = made.image("many.png")
    for number in range(5):
        corner = 18 + 12 * number
        shape = [[corner, 8, corner + 8, 8, corner + 8, 24 + 4 * number, corner, 24 + 4 * number]]
        made.annotate(many, MASK if number else ("mask", "beyond segment.max_concepts"), segmentation=shape)
    for name, wrong in _wrong_shapes().items():
        made.annotate(made.image(f"wrong/{name}.png", fate=FAILED), LOST, wrong)
    only_crowd = made.image("crowd.png", fate=FAILED)
    made.annotate(only_crowd, LOST, iscrowd=1)
    made.picture("unclear/1.png", fate=FAILED)
    for first in ("x", "y"):
        made.annotate(made.image("-", f"{first}/1.png", ("left out", "")), ("left out", "no such picture"))
    made.annotate(made.image("-", "gone.png", ("left out", "")), ("left out", "no such picture"))
    made.annotate(4711, ("left out", "of no image"))
    made.image("empty.png")
    made.picture("unknown.png")
    made.write()
    return made


def _wrong_shapes() -> dict[str, Any]:
    return {
        "null": [[20, 10, None, 10, 50, 30]],
        "odd": [[20, 10, 50, 10, 50, 30, 7]],
        "far": [[20, 10, 1e9, 10, 50, 30]],
        "shares": [[0.2, 0.1, 0.5, 0.1, 0.5, 0.3]],
        "short runs": {"size": [HEIGHT, WIDTH], "counts": [100, 100]},
        "other size": {"size": [WIDTH, HEIGHT], "counts": [WIDTH * HEIGHT]},
        "text": "a polygon",
    }

"""YOLO segmentation: a line a thing, its class and one polygon, in a text file beside each picture, laid out as
Roboflow's tools and RF-DETR look for it. How much of each mask its polygon keeps stands in polygon_iou.csv."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import yaml

from pipeline.dataset.book import Book
from pipeline.dataset.choices import TRAIN, VALIDATION
from pipeline.dataset.classes import Classes
from pipeline.dataset.counts import Counts
from pipeline.dataset.example import Example
from pipeline.dataset.formats.loose import LooseFiles
from pipeline.dataset.metadata import PATTERN, viewed, write_tables
from pipeline.dataset.parts import Part
from pipeline.dataset.polygons import overlap, polygon
from pipeline.dataset.whole_file import whole_file
from pipeline.storage.folder import Storage

FOLDERS = {TRAIN: "train", VALIDATION: "valid"}
_OF_ULTRALYTICS = {TRAIN: "train", VALIDATION: "val"}
_ALONE = {
    TRAIN: "no picture is held out: val are the training pictures, and what they say of a model is no test",
    VALIDATION: "every picture is held out: train are those too, as ultralytics wants some",
}
"""Said of a data set of one split."""
_LOSSES = "polygon_iou.csv"
_MEASURE = "polygon_iou"
_COLUMNS = ("split", "key", "object", "name", _MEASURE)


class Yolo:
    """See `FormatWriter`. All pictures of a split lie in one folder, as several readers look into no other: a listing
    of it, for the parts that are there already, holds all their names."""

    stamp = ""

    def __init__(self, into: Storage, classes: Classes) -> None:
        self._into, self._classes = into, classes

    def planned(self, part: Part, extension: str) -> list[str]:
        return [name for pick in part.picks for name in _names(part.split, pick.key, extension)]

    @contextlib.contextmanager
    def open(self, part: Part) -> Iterator[_Lines]:
        file = _Lines(LooseFiles(self._into), part.split)
        yield file
        file.loose.flush()

    def finish(self, book: Book) -> None:
        splits = [split for split in FOLDERS if book.parts.get(split)]
        told: dict[str, Any] = {_OF_ULTRALYTICS[split]: f"{FOLDERS[split]}/images" for split in splits}
        said = ""
        if len(splits) == 1:  # ultralytics refuses a file without either
            told |= dict.fromkeys(_OF_ULTRALYTICS.values(), f"{FOLDERS[splits[0]]}/images")
            said = f"# {_ALONE[splits[0]]}\n"
        told |= {"nc": len(self._classes.names), "names": list(self._classes.names)}
        text = said + yaml.safe_dump(told, sort_keys=False, allow_unicode=True)
        book.into.write("data.yaml", text.encode())
        with whole_file(book.into, _LOSSES) as file:
            file.write(_csv(_COLUMNS))
            for split in splits:
                for _, facts in book.facts(split):
                    for thing in facts["objects"]:
                        row = (split, facts["key"], thing["id"], thing["name"], f"{thing[_MEASURE]:.4f}")
                        file.write(_csv(row))

        write_tables(book, lambda split, _, told: f"{FOLDERS[split]}/images/{told['file_name']}")

    def lines(self, counts: Mapping[str, Counts]) -> Iterator[str]:
        with_pictures = [split for split in FOLDERS if counts[split].pictures]
        if len(with_pictures) == 1:
            yield f"data.yaml: {_ALONE[with_pictures[0]]}"
        sums = [each.sums[_MEASURE] for each in counts.values() if _MEASURE in each.sums]
        total, count = sum(total for total, _ in sums), sum(count for _, count in sums)
        if count:
            share = 100 * total / count
            yield f"polygons: IoU {share:.1f} % with their masks, mean of {count:,}; each one's stands in {_LOSSES}"

    def card(self, book: Book) -> dict[str, Any]:
        how = [
            "from supervision import DetectionDataset",
            "",
            'train = DetectionDataset.from_yolo("train/images", "train/labels", "data.yaml", force_masks=True)',
            "path, picture, found = train[0]    # or, with ultralytics: yolo segment train data=data.yaml",
        ]
        return {
            **viewed(book),
            "how": how,
            "tables": [PATTERN],
            "files": [f"{folder}/images/*.{book.extension}" for folder in FOLDERS.values()],
        }


class _Lines:
    """See `PartFile`."""

    def __init__(self, loose: LooseFiles, split: str) -> None:
        self.loose, self._split = loose, split

    @property
    def files(self) -> dict[str, int]:
        return self.loose.files

    def add(self, example: Example) -> list[dict[str, Any]]:
        rows, kept = [], []
        for thing in example.things:
            ring = polygon(thing.mask)
            shares = np.clip(ring / np.array(example.size), 0, 1)
            rows.append(" ".join([str(thing.class_ - 1), *(f"{value:.6f}" for value in shares.ravel())]))
            kept.append({_MEASURE: overlap(thing.mask, ring)})
        picture, label = _names(self._split, example.key, example.extension)
        self.loose.put(label, ("\n".join(rows) + "\n").encode())
        self.loose.put(picture, example.picture)
        return kept


def _names(split: str, key: str, extension: str) -> tuple[str, str]:
    folder = FOLDERS[split]
    return f"{folder}/images/{key}.{extension}", f"{folder}/labels/{key}.txt"


def _csv(row: tuple[Any, ...]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(row)
    return text.getvalue().encode()

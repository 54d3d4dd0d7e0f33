"""COCO instances, laid out as RF-DETR and Roboflow's tools look for them: `train/_annotations.coco.json`, its pictures
beside it, a folder a part.

Masks are compressed run lengths with `iscrowd` 0: polygons would lose holes and parts, and readers drop crowds.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from pipeline.dataset.book import Book
from pipeline.dataset.choices import TRAIN, VALIDATION
from pipeline.dataset.classes import Classes
from pipeline.dataset.counts import Counts
from pipeline.dataset.example import Example
from pipeline.dataset.formats.loose import LooseFiles
from pipeline.dataset.metadata import PATTERN, viewed, write_tables
from pipeline.dataset.parts import Part
from pipeline.dataset.whole_file import whole_file
from pipeline.storage.folder import Storage
from schemas.masks import encode_mask

FOLDERS = {TRAIN: "train", VALIDATION: "valid"}
_INDEX = "_annotations.coco.json"
_TOLD = ("key", "scene_id", "synthetic", "caption", "prompt", "seed")


class Coco:
    """See `FormatWriter`."""

    stamp = ""

    def __init__(self, into: Storage, classes: Classes) -> None:
        self._into, self._classes = into, classes

    def planned(self, part: Part, extension: str) -> list[str]:
        return [f"{_folder(part.split, part.number)}/{pick.key}.{extension}" for pick in part.picks]

    @contextlib.contextmanager
    def open(self, part: Part) -> Iterator[_CocoPart]:
        file = _CocoPart(LooseFiles(self._into), _folder(part.split, part.number))
        yield file
        file.loose.flush()

    def finish(self, book: Book) -> None:
        for split in FOLDERS:
            if book.parts.get(split):
                with whole_file(book.into, f"{FOLDERS[split]}/{_INDEX}") as file:
                    _write_index(book, split, file)
            else:
                book.into.delete(f"{FOLDERS[split]}/{_INDEX}")
        write_tables(book, lambda split, number, told: f"{_folder(split, number)}/{told['file_name']}")

    def lines(self, counts: Mapping[str, Counts]) -> Iterator[str]:
        yield from ()

    def card(self, book: Book) -> dict[str, Any]:
        how = [
            "from pycocotools.coco import COCO",
            "",
            f'coco = COCO("{FOLDERS[TRAIN]}/{_INDEX}")    # `file_name` counts from the folder of this file',
            "mask = coco.annToMask(coco.anns[1])    # [height, width]",
        ]
        return {
            **viewed(book),
            "how": how,
            "tables": [PATTERN],
            "files": [f"{folder}/*/*.{book.extension}" for folder in FOLDERS.values()],
        }


class _CocoPart:
    """See `PartFile`."""

    def __init__(self, loose: LooseFiles, folder: str) -> None:
        self.loose, self._folder = loose, folder

    @property
    def files(self) -> dict[str, int]:
        return self.loose.files

    def add(self, example: Example) -> list[dict[str, Any]]:
        self.loose.put(f"{self._folder}/{example.key}.{example.extension}", example.picture)
        return [{"segmentation": encode_mask(thing.mask)} for thing in example.things]


def categories_of(classes: Classes) -> list[dict[str, Any]]:
    """COCO's categories. Each is its own parent: readers drop a class that is the parent of others and has no thing."""
    return [{"id": number, "name": name, "supercategory": name} for number, name in enumerate(classes.names, 1)]


def annotation(thing: dict[str, Any]) -> dict[str, Any]:
    """What COCO says of a thing, by what was told of it, with `segmentation`."""
    told = {name: thing[name] for name in ("bbox", "area", "segmentation")}
    return {"category_id": thing["category"] + 1, "iscrowd": 0, **told}


def _folder(split: str, number: int) -> str:
    return f"{FOLDERS[split]}/{number:06d}"


def _write_index(book: Book, split: str, file: BinaryIO) -> None:
    """One JSON of any length, as it comes: the pictures, then a second walk for the annotations."""
    info = {"description": f"made by Unscene, {split}", "version": "1"}
    categories = _json(categories_of(book.classes))
    file.write(f'{{"info": {_json(info)}, "licenses": [], "categories": {categories},\n"images": ['.encode())
    for image, (number, told) in enumerate(book.facts(split), 1):
        row = {"id": image, "file_name": f"{number:06d}/{told['file_name']}"}
        row |= {name: told[name] for name in ("width", "height", *_TOLD)}
        file.write(f"{',' if image > 1 else ''}\n{_json(row)}".encode())
    file.write(b'],\n"annotations": [')
    count = 0
    for image, (_, told) in enumerate(book.facts(split), 1):
        for thing in told["objects"]:
            count += 1
            row = {"id": count, "image_id": image, **annotation(thing)}
            file.write(f"{',' if count > 1 else ''}\n{_json(row)}".encode())
    file.write(b"]}\n")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)

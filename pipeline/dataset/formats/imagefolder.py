"""Hugging Face's ImageFolder: pictures with a metadata.parquet beside them, a folder a part. A column that is called
`*_file_name` is a picture too: the masks of classes and of things.

No metadata.jsonl: readers guess its types, and refuse a data set whose one split begins with real pictures alone, which
have no prompt, and the other with new ones.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.dataset.book import Book
from pipeline.dataset.choices import TRAIN, VALIDATION
from pipeline.dataset.classes import Classes
from pipeline.dataset.counts import Counts
from pipeline.dataset.example import Example
from pipeline.dataset.features import FACTS, hub_schema
from pipeline.dataset.formats.loose import LooseFiles
from pipeline.dataset.labels import instance, semantic
from pipeline.dataset.parts import Part
from pipeline.storage.folder import Storage

_INDEX = "metadata.parquet"
_MASKS = ("mask", "instance")
_COLUMNS = {**FACTS, "mask_file_name": "string", "instance_file_name": "string"}


class ImageFolder:
    """See `FormatWriter`. The names of the classes stand in every part: where one comes, parts are written anew."""

    def __init__(self, into: Storage, classes: Classes) -> None:
        self._into, self._classes = into, classes
        self.stamp = json.dumps(classes.names)

    def planned(self, part: Part, extension: str) -> list[str]:
        folder = _folder(part)
        masks = [f"{folder}/{pick.key}.{kind}.png" for pick in part.picks for kind in _MASKS]
        return [*(f"{folder}/{pick.key}.{extension}" for pick in part.picks), *masks, f"{folder}/{_INDEX}"]

    @contextlib.contextmanager
    def open(self, part: Part) -> Iterator[_Folder]:
        file = _Folder(LooseFiles(self._into), _folder(part), self._classes)
        yield file
        file.close()

    def finish(self, book: Book) -> None:
        """The folder needs nothing else."""

    def lines(self, counts: Mapping[str, Counts]) -> Iterator[str]:
        yield from ()

    def card(self, book: Book) -> dict[str, Any]:
        splits = [split for split in (TRAIN, VALIDATION) if book.parts.get(split)]
        files = [{"split": split, "path": f"{split}/**"} for split in splits]
        return {
            "configs": [{"config_name": "default", "data_files": files}],
            "tables": [f"{split}/*/{_INDEX}" for split in splits],
            "files": [f"{split}/*/*.{book.extension}" for split in splits],
            "how": [
                "import os",
                "",
                "from datasets import load_dataset",
                "",
                'pictures = load_dataset(os.getcwd(), split="train")    # the folder of this file',
                'pictures[0]["image"], pictures[0]["mask"], pictures[0]["objects"]',
                'pictures.features["label"].names',
            ],
        }


class _Folder:
    """See `PartFile`."""

    def __init__(self, loose: LooseFiles, folder: str, classes: Classes) -> None:
        self._loose, self._folder, self._classes = loose, folder, classes
        self._rows: list[dict[str, Any]] = []

    @property
    def files(self) -> dict[str, int]:
        return self._loose.files

    def add(self, example: Example) -> list[dict[str, Any]]:
        told = example.facts()
        masks = {"mask": semantic(example.things, len(self._classes.names)), "instance": instance(example.things)}
        self._loose.put(f"{self._folder}/{told['file_name']}", example.picture)
        for kind, data in masks.items():
            told[f"{kind}_file_name"] = f"{example.key}.{kind}.png"
            self._loose.put(f"{self._folder}/{told[f'{kind}_file_name']}", data)
        self._rows.append(told)
        return [{} for _ in example.things]

    def close(self) -> None:
        """Writes the index, last."""
        if self._rows:
            buffer = io.BytesIO()
            table = pa.Table.from_pylist(self._rows, schema=hub_schema(_COLUMNS, self._classes.names))
            pq.write_table(table, buffer, compression="zstd")
            self._loose.put(f"{self._folder}/{_INDEX}", buffer.getvalue())
        self._loose.flush()


def _folder(part: Part) -> str:
    return f"{part.split}/{part.number:06d}"

"""Parquet as Hugging Face datasets writes it: pictures and masks in the table, and in its schema which columns are
pictures and what the classes are called, so that viewers show them and `load_dataset(folder)` decodes them."""

from __future__ import annotations

import contextlib
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
from pipeline.dataset.labels import instance, semantic
from pipeline.dataset.parts import Part
from pipeline.dataset.whole_file import Opened
from pipeline.storage.folder import Storage

GROUP_ROWS, GROUP_BYTES = 100, 2**25
"""A row group is full from either on: whoever reads one picture reads its group."""
_COLUMNS = {"image": "image", "mask": "image", "instance": "image", **FACTS}


class Parquet:
    """See `FormatWriter`. The names of the classes stand in every part: where one comes, parts are written anew."""

    def __init__(self, into: Storage, classes: Classes) -> None:
        self._into, self._classes = into, classes
        self.stamp = json.dumps(classes.names)

    def planned(self, part: Part, extension: str) -> list[str]:
        return [_name(part)]

    @contextlib.contextmanager
    def open(self, part: Part) -> Iterator[_Table]:
        file = _Table(Opened(self._into, _name(part)), self._classes)
        with file.opened.closing():
            yield file
            file.close()

    def finish(self, book: Book) -> None:
        """The tables need nothing else."""

    def lines(self, counts: Mapping[str, Counts]) -> Iterator[str]:
        yield from ()

    def card(self, book: Book) -> dict[str, Any]:
        splits = [split for split in (TRAIN, VALIDATION) if book.parts.get(split)]
        files = [{"split": split, "path": f"data/{split}-*.parquet"} for split in splits]
        return {
            "configs": [{"config_name": "default", "data_files": files}],
            "tables": ["data/*.parquet"],
            "files": [],
            "how": [
                "import os",
                "",
                "from datasets import load_dataset",
                "",
                'pictures = load_dataset(os.getcwd(), split="train")    # the folder of this file; streaming=True too',
                'pictures[0]["image"], pictures[0]["mask"], pictures[0]["objects"]',
                'pictures.features["label"].names',
            ],
        }


class _Table:
    """See `PartFile`."""

    def __init__(self, opened: Opened, classes: Classes) -> None:
        self.opened, self._classes = opened, classes
        self._writer: pq.ParquetWriter | None = None
        self._rows: list[dict[str, Any]] = []
        self._bytes = 0

    @property
    def files(self) -> dict[str, int]:
        return self.opened.files

    def add(self, example: Example) -> list[dict[str, Any]]:
        told = example.facts()
        pictures = {
            "image": (told["file_name"], example.picture),
            "mask": (f"{example.key}.mask.png", semantic(example.things, len(self._classes.names))),
            "instance": (f"{example.key}.instance.png", instance(example.things)),
        }
        told |= {name: {"bytes": data, "path": path} for name, (path, data) in pictures.items()}
        self._rows.append(told)
        self._bytes += sum(len(data) for _, data in pictures.values())
        if len(self._rows) >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self._write()
        return [{} for _ in example.things]

    def close(self) -> None:
        """Writes the last rows."""
        if self._rows:
            self._write()

    def _write(self) -> None:
        schema = hub_schema(_COLUMNS, self._classes.names)
        if self._writer is None:
            self._writer = self.opened.through(lambda file: pq.ParquetWriter(file, schema, compression="zstd"))
        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=schema))
        self._rows, self._bytes = [], 0


def _name(part: Part) -> str:
    return f"data/{part.name}.parquet"

"""metadata/train.parquet and its like: what is told of every picture in a table, for formats that have none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.dataset.book import Book
from pipeline.dataset.choices import TRAIN, VALIDATION
from pipeline.dataset.features import FACTS, hub_schema
from pipeline.dataset.whole_file import whole_file

PATTERN = "metadata/*.parquet"
_GROUP = 5000
_COLUMNS = {"file": "string", **FACTS}


def write_tables(book: Book, file_of: Callable[[str, int, dict[str, Any]], str]) -> None:
    """One table a split. file_of: the file that holds a picture (split, number of its part, what is told of it)."""
    schema = hub_schema(_COLUMNS, book.classes.names)
    for split in (TRAIN, VALIDATION):
        name = table_of(split)
        if not book.parts.get(split):
            book.into.delete(name)
            continue
        with whole_file(book.into, name) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
            rows: list[dict[str, Any]] = []
            for number, told in book.facts(split):
                rows.append({**told, "file": file_of(split, number, told)})
                if len(rows) == _GROUP:
                    writer.write_table(pa.Table.from_pylist(rows, schema=schema))
                    rows = []
            if rows:
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))


def table_of(split: str) -> str:
    return f"metadata/{split}.parquet"


def viewed(book: Book) -> dict[str, Any]:
    """Front of a card by which viewers and `load_dataset(folder)` read the tables."""
    splits = [split for split in (TRAIN, VALIDATION) if book.parts.get(split)]
    files = [{"split": split, "path": table_of(split)} for split in splits]
    return {"configs": [{"config_name": "default", "data_files": files}]}

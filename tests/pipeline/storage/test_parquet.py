"""Parquet files are read by the thread that asks: Arrow's own, holding a Python file, abort a process that ends."""

from __future__ import annotations

import io
import re
import threading

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.storage.parquet import read_parquet
from tests.support import ROOT


class Watched(io.BytesIO):
    """A file that remembers which threads have read it."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.readers: set[int] = set()

    def read(self, size: int | None = -1, /) -> bytes:
        self.readers.add(threading.get_ident())
        return super().read(size)


@pytest.fixture
def file() -> Watched:
    buffer = io.BytesIO()
    table = pa.table({name: list(range(5000)) for name in "abcdefgh"})
    pq.write_table(table, buffer, row_group_size=500)
    return Watched(buffer.getvalue())


def test_no_other_thread_reads(file: Watched) -> None:
    assert read_parquet(file).num_rows == 5000
    assert file.readers == {threading.get_ident()}


def test_the_same_rows_as_the_library_reads(file: Watched) -> None:
    assert read_parquet(file).equals(pq.read_table(file))
    assert read_parquet(file, ["c", "a"]).column_names == ["c", "a"]


def test_the_librarys_own_way_is_the_one_that_does_it(file: Watched) -> None:
    """Or the first test would show nothing."""
    pq.read_table(file)
    assert file.readers - {threading.get_ident()}


def test_nothing_of_ours_reads_otherwise() -> None:
    ours = [file for room in ("schemas", "stages", "pipeline", "unscene") for file in (ROOT / room).rglob("*.py")]
    assert [file for file in ours if re.search(r"\b(pq|parquet)\.read_table\(", file.read_text())] == []

"""Parquet files are read by the thread that asks: Arrow's own, holding a Python file, abort a process that ends."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.storage.parquet import CHECKED, Damaged, read_parquet
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
    assert read_parquet(file).equals(pq.read_table(io.BytesIO(file.getvalue())))
    file.seek(0)
    assert read_parquet(file, ["c", "a"]).column_names == ["c", "a"]


def test_one_wrong_bit_is_no_other_number(tmp_path: Path) -> None:
    """Of a manifest one in nine was read as another number: `status` said 1157442765409226758 done."""
    table = pa.table({"scene": [f"{number:016x}" for number in range(300)], "done": list(range(300))})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **CHECKED)
    data = buffer.getvalue()
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    errors = set()
    for at in range(len(data)):
        turned = data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]
        try:
            found = read_parquet(io.BytesIO(turned), schema=table.schema)
        except Damaged as error:
            errors.add(str(error).partition(":")[0])
        else:
            assert at >= footer or found.equals(table), at
    assert {"OSError", "ArrowInvalid"} <= errors, "by the library's own words; a command caught one kind only"


def test_a_store_that_does_not_answer_is_no_damage() -> None:
    class Away(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise TimeoutError("no answer")

    with pytest.raises(TimeoutError):
        read_parquet(Away())


def test_the_librarys_own_way_is_the_one_that_does_it(file: Watched) -> None:
    """Or the first test would show nothing."""
    pq.read_table(file)
    assert file.readers - {threading.get_ident()}


READERS = {"read_table", "read_parquet", "read_pandas", "ParquetFile", "ParquetDataset", "dataset", "read_feather"}
"""What reads Parquet, by whatever library."""
OURS = ROOT / "pipeline/storage/parquet.py"


def readers_in(code: str) -> set[str]:
    """Readers of Parquet that a file calls or imports from a library."""
    found: set[str] = set()
    names = {"pyarrow", "pq", "pa", "pd", "pandas", "pl", "polars", "duckdb", "parquet", "ds", "fastparquet"}
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Attribute) and node.attr in READERS:
            root = ast.unparse(node.value).split(".")[0].split("(")[0]
            found |= {node.attr} if root in names else set()
        elif isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] in names:
            found |= READERS.intersection(alias.name for alias in node.names)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name == "pyarrow.dataset"}
    return found


def test_nothing_of_ours_reads_otherwise() -> None:
    """Driver, workers, packer, report, export and the objects of `import unscene`."""
    files = [file for room in ("schemas", "stages", "pipeline", "unscene") for file in (ROOT / room).rglob("*.py")]
    assert len(files) > 200
    assert {str(file): found for file in files if file != OURS and (found := readers_in(file.read_text()))} == {}


@pytest.mark.parametrize(
    "planted",
    [
        "import pyarrow.parquet as pq\nrows = pq.read_table(file, filters=[('a', '=', 1)])",
        "import pyarrow.parquet\nrows = pyarrow.parquet.ParquetFile(file).read()",
        "from pyarrow.parquet import read_table\nrows = read_table(file)",
        "import pandas as pd\nrows = pd.read_parquet(file)",
        "import pyarrow.dataset as ds\nrows = ds.dataset(folder)",
    ],
)
def test_every_other_way_is_seen(planted: str) -> None:
    assert readers_in(planted)


SHORT_RUN = """
import sys, fsspec
from pipeline.storage.parquet import CHECKED, Damaged, read_parquet
with fsspec.open(sys.argv[1], "rb") as file:
    assert read_parquet(file, ["a", "c"]).num_rows == 5000
"""
RUNS, AT_ONCE = 300, 8


@pytest.mark.prove
def test_processes_that_read_and_end_end_well(tmp_path: Path) -> None:
    """One in a hundred was aborted after all its work, more where threads wait for a core: so eight at once."""
    table = pa.table({name: list(range(5000)) for name in "abcdefgh"})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=500)
    command = [sys.executable, "-c", SHORT_RUN, str(tmp_path / "a.parquet")]

    def run(number: int) -> tuple[int, str]:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
        return done.returncode, done.stderr

    with ThreadPoolExecutor(AT_ONCE) as threads:
        assert set(threads.map(run, range(RUNS))) == {(0, "")}

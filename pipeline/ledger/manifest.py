"""The manifest: what commits come to, a row each, rolled up from time to time so that whoever opens an OUTPUT again
reads a few files instead of one a commit.

`_commits/manifest-000004.whole.parquet` stands for all before it; `manifest-000005.parquet` adds to it. Nothing rests
on them: a row counts only where a listing shows its commit, in that round and of that size (`committed.py`); a commit
that has no row is read; a file of these that is damaged or gone is made again. So a process may end before any step of
writing them, or after it.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.ledger.commits import Commit
from pipeline.storage.folder import Storage
from pipeline.storage.many import in_order
from pipeline.storage.parquet import CHECKED, Damaged, read_parquet

log = logging.getLogger(__name__)

FOLDER = "_commits"
_NAME = re.compile(r"^manifest-(\d{6,})(\.whole)?\.parquet$")
MOST = 16
"""Files that add to a whole one before they become one."""
_LOOKS = 5
_SAID: set[str] = set()

SUMMARY = pa.schema(
    [
        ("stage", pa.string()),
        ("shard", pa.int64()),
        ("round", pa.int64()),
        ("size", pa.int64()),
        ("done", pa.int64()),
        ("failed", pa.int64()),
        ("errors", pa.list_(pa.struct([("error", pa.string()), ("count", pa.int64())]))),
        ("paths", pa.list_(pa.string())),
        ("bytes", pa.list_(pa.int64())),
        ("rows", pa.list_(pa.int64())),
        ("seconds", pa.float64()),
        ("finished_at", pa.float64()),
        ("tally", pa.string()),
    ]
)
"""A commit in a row. size: bytes of its file; done, failed: scenes with results, and without; errors: class of failure
-> scenes; paths, bytes, rows: of its files; tally: as JSON, null where it has none."""


def summary(record: Commit, size: int) -> dict[str, Any]:
    """The row of a commit."""
    errors = Counter(str(row["error"]) for row in record.failures)
    return {
        "stage": record.stage,
        "shard": record.shard,
        "round": record.round,
        "size": size,
        "done": len(record.done),
        "failed": len(record.failures),
        "errors": [{"error": error, "count": count} for error, count in errors.items()],
        "paths": [file.path for file in record.files],
        "bytes": [file.bytes for file in record.files],
        "rows": [file.rows for file in record.files],
        "seconds": record.seconds,
        "finished_at": record.finished_at,
        "tally": None if record.tally is None else json.dumps(record.tally, separators=(",", ":")),
    }


def table_of(rows: Iterable[dict[str, Any]]) -> pa.Table:
    """SUMMARY of rows."""
    return pa.Table.from_pylist(list(rows), schema=SUMMARY)


@dataclass(frozen=True)
class Manifest:
    """table: all rows; of several for one commit the last counts. names: of the files that it was read from, and of
    those that they stand for. next: the number of the next file. frail: whether a file of it could not be read."""

    table: pa.Table
    names: list[str]
    next: int = 0
    frail: bool = False

    @property
    def crowded(self) -> bool:
        """Whether it lies in more files than it should."""
        return len(self.names) > MOST


def read_manifest(storage: Storage) -> Manifest:
    """What is there of it. A file that is damaged is said to be, and left out."""
    for _ in range(_LOOKS):
        with contextlib.suppress(FileNotFoundError):  # a run that is at work has put a whole one in its place
            return _manifest(storage)
    return Manifest(SUMMARY.empty_table(), [])


def warn_once(text: str) -> None:
    """A warning that is said once a process: a command reads the manifest for each thing that it tells."""
    if text not in _SAID:
        _SAID.add(text)
        log.warning("%s", text)


def _manifest(storage: Storage) -> Manifest:
    files = {name: match for name in sorted(storage.names(FOLDER)) if (match := _NAME.match(name))}
    whole = [name for name, match in files.items() if match[2]]
    wanted = [name for name in files if not whole or name >= whole[-1]]
    tables = [SUMMARY.empty_table()]
    for name, table in zip(wanted, in_order(lambda name: _read(storage, name), wanted), strict=True):
        if table is None:
            warn_once(
                f"{storage.url_of(f'{FOLDER}/{name}')} is damaged: the commits that it stood for are read one by one, "
                "and the next run writes it anew"
            )
        else:
            tables.append(table)
    following = max((int(match[1]) for match in files.values()), default=-1) + 1
    return Manifest(pa.concat_tables(tables), list(files), following, len(tables) <= len(wanted))


def _read(storage: Storage, name: str) -> pa.Table | None:
    try:
        return read_parquet(io.BytesIO(storage.read(f"{FOLDER}/{name}")), schema=SUMMARY)
    except Damaged:
        return None


def add(storage: Storage, table: pa.Table, earlier: Manifest) -> Manifest:
    """Writes a file that adds to `earlier`; returns what there is with it."""
    name, number = _write(storage, table, earlier.next, "")
    if number != earlier.next:
        return read_manifest(storage)
    rows = pa.concat_tables([earlier.table, table])
    return Manifest(rows, [*earlier.names, name], number + 1, earlier.frail)


def replace(storage: Storage, table: pa.Table, earlier: Manifest) -> Manifest:
    """Writes one that stands for all of `earlier`, then removes those; returns what there is then."""
    name, number = _write(storage, table, earlier.next, ".whole")
    for old in earlier.names:
        storage.delete(f"{FOLDER}/{old}")
    return Manifest(table, [name], number + 1) if number == earlier.next else read_manifest(storage)


def _write(storage: Storage, table: pa.Table, number: int, kind: str) -> tuple[str, int]:
    """Name and number of the file, which is a later one where another run has written meanwhile: it took over from this
    one, or this one from it."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **CHECKED)
    while not storage.create(f"{FOLDER}/{(name := _name(number, kind))}", buffer.getvalue()):
        number += 1
    return name, number


def _name(number: int, kind: str) -> str:
    return f"manifest-{number:06d}{kind}.parquet"

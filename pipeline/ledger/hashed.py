"""What planning has found out of the files of a source, kept in parts until the plan stands: a run that ends while it
reads a corpus for hours has the next one go on, and not begin anew.

`_plan/hashed/<try>-<number>.parquet`: rows of the plan without their places, in the order of addresses within a try. A
listing's sizes and times say whether a file is still the one that was read.
"""

from __future__ import annotations

import heapq
import io
import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.storage.folder import Storage
from pipeline.storage.many import in_order
from pipeline.storage.parquet import CHECKED, Damaged, read_parquet
from schemas.records import PLAN
from stages.ingest.census import Picked

log = logging.getLogger(__name__)

FOLDER = "_plan/hashed"
_NAME = re.compile(r"^(\d{3,})-(\d{6,})\.parquet$")
ROWS = 4096
SECONDS = 60.0
"""A part is written when it has so many rows, or when so much time has passed: a small job writes none."""
_PLACE = ("shard", "position", "duplicate_of")
CONTENT = pa.schema([field for field in PLAN if field.name not in _PLACE])

Row = dict[str, Any]


def contents(storage: Storage, pictures: Iterable[Picked], read: Callable[[Picked], Row]) -> Iterator[Row]:
    """The row of each picture, in their order; by `read`, called for many at once, where no earlier try has read it.

    pictures: in the order of their addresses.
    """
    tries = _tries(storage)
    number, part, rows, written_at = max(tries, default=-1) + 1, 0, list[Row](), time.monotonic()
    earlier = heapq.merge(*(_rows(storage, names) for names in tries.values()), key=lambda row: str(row["uri"]))
    pairs = ((picked, known) for picked, known in _known(pictures, earlier))
    for row, fresh in in_order(lambda pair: (pair[1] or read(pair[0]), pair[1] is None), pairs):
        yield row
        if fresh:
            rows.append(row)
        if len(rows) >= ROWS or (rows and time.monotonic() - written_at > SECONDS):
            _write(storage, f"{FOLDER}/{number:03d}-{part:06d}.parquet", rows)
            rows, part, written_at = [], part + 1, time.monotonic()


def forget(storage: Storage) -> None:
    """Once the plan stands."""
    if storage.every_name(FOLDER):
        storage.delete_folder(FOLDER)


def _known(pictures: Iterable[Picked], earlier: Iterator[Row]) -> Iterator[tuple[Picked, Row | None]]:
    """Each picture, and what an earlier try has read of it. A later try comes last, and counts."""
    row = next(earlier, None)
    for picked in pictures:
        found = None
        while row is not None and row["uri"] <= picked.uri:
            if _is_of(row, picked):
                found = row
            row = next(earlier, None)
        yield picked, found


def _is_of(row: Row, picked: Picked) -> bool:
    """Whether a row was made of this file and these masks, as far as a listing tells; one that tells of an error was
    made of nothing that lasts."""
    if row["error"] is not None or row["masks_error"] is not None or picked.masks_fault is not None:
        return False
    listed = picked.uri, picked.stamp, list(picked.masks), picked.masks_stamp, picked.entry
    if None in (picked.stamp, picked.masks_stamp if picked.masks and picked.entry is None else ""):
        return False
    known = tuple(row[name] for name in ("uri", "stamp", "masks", "masks_stamp", "entry"))
    return known == listed and (picked.entry is None or row["masks_sha256"] == picked.masks_sha256)


def _tries(storage: Storage) -> dict[int, list[str]]:
    """Number of a try -> its parts, in order."""
    found: dict[int, list[str]] = {}
    for name in sorted(storage.names(FOLDER)):
        if match := _NAME.match(name):
            found.setdefault(int(match[1]), []).append(name)
    return found


def _rows(storage: Storage, names: list[str]) -> Iterator[Row]:
    """Rows of one try, a part in memory."""
    for name in names:
        try:
            table = read_parquet(io.BytesIO(storage.read(f"{FOLDER}/{name}")), schema=CONTENT)
        except Damaged:
            log.warning("%s is damaged: the files that it tells of are read again", storage.url_of(f"{FOLDER}/{name}"))
            continue
        yield from table.to_pylist()


def _write(storage: Storage, name: str, rows: list[Row]) -> None:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=CONTENT), buffer, **CHECKED)
    storage.write(name, buffer.getvalue())

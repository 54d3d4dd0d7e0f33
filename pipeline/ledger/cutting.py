"""Cutting new files into shards: which of those with the same bytes is the scene, and where each lies.

The rows are streamed three times at most, and a number is kept for each between: a corpus of millions fits.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.storage.parquet import CHECKED
from schemas.records import PLAN
from stages.ingest.source.packed import Packed

_BATCH = 4096
_GROUP = 1 << 16
"""Rows of a row group."""

Row = dict[str, Any]


@dataclass
class Cut:
    """shard: of each place. repeats: place -> the place of its scene, or None where an earlier plan has it. exchanged:
    place -> the place whose row lies there instead."""

    shard: np.ndarray
    repeats: dict[int, int | None] = field(default_factory=dict)
    exchanged: dict[int, int] = field(default_factory=dict)


def is_masked(row: Row) -> bool:
    """Whether a file brings masks of its own, be they read or not."""
    return bool(row["masks"] or row["masks_error"])


def cut(
    rows: Packed[Row],
    planned: np.ndarray,
    addresses: Callable[[set[str]], dict[str, str]],
    first_shard: int,
    scenes_per_shard: int,
) -> bytes:
    """A plan file of these rows, which are let go of. planned: scenes of earlier plan files, as numbers; addresses:
    tells those of some.

    Of files with the same bytes the first is the scene, or the first that has masks of its own: then the two change
    places. A repeated file lies in the shard of the scene before it.
    """
    made = _cut(rows, planned, scenes_per_shard)
    wanted = {*made.exchanged.values(), *(place for place in made.repeats.values() if place is not None)}
    uris: dict[int, str] = {}
    moved: dict[int, Row] = {}
    known: set[str] = set()
    for place, row in enumerate(rows) if made.repeats else ():
        if place in wanted:
            uris[place] = row["uri"]
        if place in made.exchanged:
            moved[place] = row
        if place in made.repeats and made.repeats[place] is None:
            known.add(row["scene_id"])
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, PLAN, **CHECKED) as writer:
        placed = _placed(rows.emptied(), made, addresses(known) if known else {}, first_shard, uris, moved)
        while group := _group(placed):
            writer.write_table(pa.concat_tables(group))
    return buffer.getvalue()


def number_of(scene_id: str) -> int:
    """A scene's id, which is sixteen hexadecimal digits, as a number."""
    return int(scene_id, 16)


def _cut(rows: Iterable[Row], planned: np.ndarray, scenes_per_shard: int) -> Cut:
    flat = np.fromiter(
        ((number_of(row["scene_id"]), is_masked(row)) for row in rows), dtype=[("scene", "u8"), ("masked", "?")]
    )
    scenes, masked = flat["scene"], flat["masked"]
    order = np.argsort(scenes, kind="stable")
    new = np.ones(len(scenes), dtype=bool)
    new[1:] = scenes[order][1:] != scenes[order][:-1]
    starts = np.flatnonzero(new)
    sizes = np.diff(np.append(starts, len(scenes)))
    earlier = np.isin(scenes[order[starts]], planned)
    made = Cut(np.zeros(0))
    for start, size, known in zip(*(a[(sizes > 1) | earlier] for a in (starts, sizes, earlier)), strict=True):
        places = [int(place) for place in order[start : start + size]]
        if known:
            made.repeats.update(dict.fromkeys(places))
            continue
        owner = next((place for place in places if masked[place]), places[0])
        if owner != places[0]:
            made.exchanged |= {places[0]: owner, owner: places[0]}
        made.repeats.update(dict.fromkeys(places[1:], owner))
    first = np.ones(len(scenes), dtype=np.int64)
    first[list(made.repeats)] = 0
    before = np.cumsum(first) - first
    made.shard = np.where(first, before, np.maximum(before - 1, 0)) // scenes_per_shard
    return made


def _placed(
    rows: Iterable[Row],
    made: Cut,
    planned: dict[str, str],
    first_shard: int,
    uris: dict[int, str],
    moved: dict[int, Row],
) -> Iterator[Row]:
    for place, row in enumerate(rows):
        content = moved[made.exchanged[place]] if place in made.exchanged else row
        duplicate_of = None
        if place in made.repeats:
            owner = made.repeats[place]
            duplicate_of = planned[row["scene_id"]] if owner is None else uris[owner]
        at = {"shard": first_shard + int(made.shard[place]), "position": place}
        yield {**content, **at, "duplicate_of": duplicate_of}


def _group(rows: Iterator[Row]) -> list[pa.Table]:
    """The next rows, as many as a row group has."""
    found: list[pa.Table] = []
    while len(found) < _GROUP // _BATCH and (batch := list(islice(rows, _BATCH))):
        found.append(pa.Table.from_pylist(batch, schema=PLAN))
    return found

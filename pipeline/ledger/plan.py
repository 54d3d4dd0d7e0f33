"""The plan: which files, which scenes, which shard each belongs to. Written first, then only extended (invariant 1).

`_plan/000000.parquet` is made by the first run; a later run adds `000001.parquet` with the files that have come since,
in new shards. Each is created if absent, so two drivers agree on one plan. A file that changed keeps its place: a later
plan file holds its row anew, and the last row of a place counts.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.ledger.cutting import cut, number_of
from pipeline.ledger.damaged import readable
from pipeline.ledger.hashed import CONTENT, contents, forget
from pipeline.storage.folder import Storage
from pipeline.storage.parquet import CHECKED, read_parquet
from schemas.errors import OutputError
from schemas.records import PLAN, scene_id_of
from stages.ingest.census import Picked, Read, packed_pictures
from stages.ingest.source.packed import Packed
from stages.telling import tell

_BATCH = 4096
_HELD = ("shard", "position", "uri", "scene_id", "duplicate_of")
_CONTENT = CONTENT.names

Row = dict[str, Any]


class Plan:
    """The plan in Arrow columns, with the order of every shard. `table` lacks columns that are null in every row."""

    def __init__(self, table: pa.Table) -> None:
        """table: rows of PLAN in the order of their plan files."""
        table = _last_of_each_place(table)
        self.table = table.select([name for name in PLAN.names if name in _HELD or table[name].null_count < len(table)])
        shards = self.table.column("shard")
        self.shards: int = (pc.max(shards).as_py() + 1) if len(shards) else 0
        self._starts = [0] * (self.shards + 1)
        for entry in pc.value_counts(shards).to_pylist() if self.shards else []:
            self._starts[entry["values"] + 1] = entry["counts"]
        for shard in range(self.shards):
            self._starts[shard + 1] += self._starts[shard]

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def rows(self, shard: int) -> list[Row]:
        """Plan rows of a shard, in order, duplicates included."""
        return list(_rows(self._of(shard)))

    def _of(self, shard: int) -> pa.Table:
        start, end = self._starts[shard], self._starts[shard + 1]
        return self.table.slice(start, end - start)

    def all_rows(self) -> Iterator[Row]:
        """Every row, in order, a batch of them in memory."""
        return _rows(self.table)

    def rows_by_uri(self) -> Iterator[Row]:
        """The same in the order of addresses."""
        order = pc.sort_indices(self.table.column("uri")).to_numpy()
        if (order[1:] > order[:-1]).all():
            yield from self.all_rows()
            return
        for start in range(0, len(order), _BATCH):
            yield from _rows(self.table.take(pa.array(order[start : start + _BATCH])))

    def lacking(self, pictures: Iterable[Picked]) -> Iterator[Picked]:
        """Pictures whose address is not in the plan; they come, and go, in the order of addresses."""
        order = pc.sort_indices(self.table.column("uri"))
        planned = (
            uri
            for start in range(0, len(order), _BATCH)
            for uri in self.table.column("uri").take(order.slice(start, _BATCH)).to_pylist()
        )
        at = next(planned, None)
        for picked in pictures:
            while at is not None and at < picked.uri:
                at = next(planned, None)
            if at != picked.uri:
                yield picked

    def repeats(self) -> Iterator[Row]:
        """Rows of files with the bytes of another."""
        return _rows(self.table.filter(pc.is_valid(self.table.column("duplicate_of"))))

    def rows_of(self, scenes: Iterable[str]) -> Iterator[Row]:
        """Rows of all files of these scenes, in order."""
        wanted = pa.array(list(scenes), pa.string())
        return _rows(self.table.filter(pc.is_in(self.table.column("scene_id"), value_set=wanted)))

    def scene_numbers(self) -> np.ndarray:
        """All scenes as numbers (`cutting.number_of`), uint64."""
        return np.fromiter(map(number_of, self.table.column("scene_id").unique().to_pylist()), dtype=np.uint64)

    def addresses(self, scenes: Iterable[str]) -> dict[str, str]:
        """Scene -> the address of its file, of these."""
        return {row["scene_id"]: row["uri"] for row in self.rows_of(scenes) if row["duplicate_of"] is None}

    def names_among(self, names: Container[str]) -> set[str]:
        """Of addresses and of ids of annotations those that the plan has, as a file that is there or as its mask."""
        columns = [name for name in ("uri", "masks", "gone") if name in self.table.column_names]
        rows = _rows(self.table.select(columns)) if names else ()
        found = (name for row in rows if not row["gone"] for name in (row["uri"], *(row["masks"] or [])))
        return {name for name in found if name in names}

    def uris(self, shard: int) -> dict[str, str]:
        """Scene -> where its file is, of the scenes of a shard, in order, each once."""
        columns = (self._of(shard).column(name).to_pylist() for name in ("scene_id", "uri", "duplicate_of"))
        return {scene: uri for scene, uri, other in zip(*columns, strict=True) if other is None}

    def scenes(self, shard: int) -> list[str]:
        """Scenes of a shard, in order, each once."""
        return list(self.uris(shard))

    def scene_count(self) -> int:
        return int(pc.sum(pc.is_null(self.table.column("duplicate_of"))).as_py() or 0)


def _rows(table: pa.Table) -> Iterator[Row]:
    """With the columns that are null in every row of a plan, which it does not hold."""
    nothing: Row = dict.fromkeys(PLAN.names)
    for batch in table.to_batches(max_chunksize=_BATCH):
        for row in batch.to_pylist():
            yield {**nothing, **row}


def read_plan(storage: Storage) -> Plan:
    """The plan of an OUTPUT; empty where there is none yet. Columns that an older plan lacks are null.

    Raises OutputError where it is gone from under results, which nobody could tell the scenes of.
    """
    names = _plan_files(storage)
    if not names and any(storage.names(f"_commits/{stage}") for stage in storage.folders("_commits")):
        raise OutputError(
            f"{storage.url}: its plan (_plan/) is gone, and results of it are there; restore it, or give the job a new "
            "output"
        )
    return Plan(_read(storage, names, PLAN))


def planned_sizes(storage: Storage) -> pa.ChunkedArray:
    """Bytes of each planned file, null of one that could not be read; none where there is no plan. The whole plan of a
    million files takes a few hundred MB, this a few."""
    schema = pa.schema([PLAN.field(name) for name in ("shard", "position", "bytes")])
    return _last_of_each_place(_read(storage, _plan_files(storage), schema)).column("bytes")


def _read(storage: Storage, names: Iterable[str], schema: pa.Schema) -> pa.Table:
    """Rows of these plan files, in their order. schema: PLAN, or some of it; what an older plan lacks of it is null."""
    tables = [schema.empty_table()]
    for name in names:
        data = storage.read(f"_plan/{name}")
        with readable(storage, f"_plan/{name}", "give the job a new output"):
            found = read_parquet(io.BytesIO(data), schema.names)
        for field in schema:
            if field.name not in found.column_names:
                found = found.append_column(field, pa.nulls(len(found), field.type))
        tables.append(found.select(schema.names).cast(schema))
    return pa.concat_tables(tables)


def extend_plan(
    storage: Storage, pictures: Iterable[Picked], scenes_per_shard: int, read: Callable[[Picked], Read]
) -> Plan:
    """Adds the files that the plan does not hold yet, in new shards, and returns the whole plan.

    Of files with the same bytes the first is the scene, or the first that has masks of its own.

    read: one picture and its masks; called for many at once. What it has found is kept in parts (`hashed.py`), should
    the process end before the plan stands.
    """
    number = len(_plan_files(storage))  # before the plan is read: a driver that comes in between takes this number
    plan = read_plan(storage)
    listed = pictures if isinstance(pictures, Packed) else packed_pictures(pictures)
    new = sum(1 for _ in plan.lacking(listed))
    if not new:
        forget(storage)
        return plan
    rows: Packed[Row] = Packed(lambda row: tuple(row.values()), lambda kept: dict(zip(_CONTENT, kept, strict=True)))
    for count, row in enumerate(contents(storage, plan.lacking(listed), lambda picked: content_of(read(picked)))):
        tell(f"reading the pictures once, {count:,} of {new:,}")
        rows.add({name: row[name] for name in _CONTENT})
    # If another driver was first, its plan counts.
    storage.create(_plan_name(number), cut(rows, plan.scene_numbers(), plan.addresses, plan.shards, scenes_per_shard))
    forget(storage)
    return read_plan(storage)


def revise_plan(storage: Storage, rows: Sequence[Row]) -> Plan:
    """Puts rows with the shard and position of older ones in their place, and returns the whole plan."""
    _write(storage, len(_plan_files(storage)), rows)
    return read_plan(storage)


def content_of(found: Read) -> Row:
    """The columns of a plan row that the file and its masks decide."""
    picked, hashed = found.picked, found.hashed
    return {
        "uri": hashed.uri,
        "scene_id": scene_id_of(hashed.sha256 or hashlib.sha256(hashed.uri.encode()).hexdigest()),
        "sha256": hashed.sha256,
        "bytes": hashed.bytes,
        "error": hashed.error,
        "stamp": picked.stamp,
        "masks": list(picked.masks),
        "masks_sha256": found.masks_sha256,
        "masks_stamp": picked.masks_stamp,
        "entry": picked.entry,
        "masks_error": picked.masks_fault or found.masks_error,
        "gone": False,
    }


def copy_plan(storage: Storage, earlier: Storage) -> Plan:
    """The plan of an earlier OUTPUT, shard by shard: its handles keep their shards here."""
    for name in _plan_files(earlier):
        storage.create(f"_plan/{name}", earlier.read(f"_plan/{name}"))
    return read_plan(storage)


def _last_of_each_place(table: pa.Table) -> pa.Table:
    """Sorted by place; of several rows in one place the last."""
    shard, position = (table.column(name).to_numpy() for name in ("shard", "position"))
    later = (shard[1:] > shard[:-1]) | ((shard[1:] == shard[:-1]) & (position[1:] > position[:-1]))
    if later.all():
        return table  # as one plan file is, and several that only add to it: nothing is copied
    order = pa.array(np.arange(table.num_rows))
    table = table.append_column("order", order).sort_by(
        [("shard", "ascending"), ("position", "ascending"), ("order", "ascending")]
    )
    shard, position = (table.column(name).to_numpy() for name in ("shard", "position"))
    last = np.ones(table.num_rows, dtype=bool)
    if table.num_rows:
        last[:-1] = (shard[1:] != shard[:-1]) | (position[1:] != position[:-1])
    return table.filter(pa.array(last)).drop_columns(["order"]).combine_chunks()


def _write(storage: Storage, number: int, rows: Sequence[Row]) -> None:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), schema=PLAN), buffer, **CHECKED)
    storage.create(_plan_name(number), buffer.getvalue())


def _plan_name(number: int) -> str:
    return f"_plan/{number:06d}.parquet"


def _plan_files(storage: Storage) -> list[str]:
    return sorted(name for name in storage.names("_plan") if name.endswith(".parquet"))

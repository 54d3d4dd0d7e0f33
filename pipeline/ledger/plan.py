"""The plan: which files, which scenes, which shard each belongs to. Written first, then only extended (invariant 1).

`_plan/000000.parquet` is made by the first run; a later run adds `000001.parquet` with the files that have come since,
in new shards. Each is created if absent, so two drivers agree on one plan. A file that changed keeps its place: a later
plan file holds its row anew, and the last row of a place counts.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.ledger.damaged import readable
from pipeline.storage.folder import Storage
from pipeline.storage.many import in_order
from pipeline.storage.parquet import read_parquet
from schemas.records import PLAN, scene_id_of
from stages.ingest.census import Picked, Read
from stages.telling import tell

_BATCH = 4096

Row = dict[str, Any]


class Plan:
    """The plan in Arrow columns (about 200 bytes a file, and its masks), with the order of every shard."""

    def __init__(self, table: pa.Table) -> None:
        """table: rows of PLAN in the order of their plan files."""
        self.table = _last_of_each_place(table)
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
        start, end = self._starts[shard], self._starts[shard + 1]
        return list(self.table.slice(start, end - start).to_pylist())

    def all_rows(self) -> Iterator[Row]:
        """Every row, in order, a batch of them in memory."""
        for batch in self.table.to_batches(max_chunksize=_BATCH):
            yield from batch.to_pylist()

    def scenes(self, shard: int) -> list[str]:
        """Scenes of a shard, in order, each once."""
        return [row["scene_id"] for row in self.rows(shard) if row["duplicate_of"] is None]

    def scene_count(self) -> int:
        return int(pc.sum(pc.is_null(self.table.column("duplicate_of"))).as_py() or 0)


def read_plan(storage: Storage) -> Plan:
    """The plan of an OUTPUT; empty where there is none yet. Columns that an older plan lacks are null."""
    tables = [PLAN.empty_table()]
    for name in _plan_files(storage):
        data = storage.read(f"_plan/{name}")
        with readable(storage, f"_plan/{name}", "give the job a new output"):
            found = read_parquet(io.BytesIO(data))
        for field in PLAN:
            if field.name not in found.column_names:
                found = found.append_column(field, pa.nulls(len(found), field.type))
        tables.append(found.select(PLAN.names).cast(PLAN))
    return Plan(pa.concat_tables(tables))


def extend_plan(
    storage: Storage, pictures: Iterable[Picked], scenes_per_shard: int, read: Callable[[Picked], Read]
) -> Plan:
    """Adds the files that the plan does not hold yet, in new shards, and returns the whole plan.

    Of files with the same bytes the first is the scene, or the first that has masks of its own.

    read: one picture and its masks; called for many at once.
    """
    number = len(_plan_files(storage))  # before the plan is read: a driver that comes in between takes this number
    plan = read_plan(storage)
    known = set(plan.table.column("uri").to_pylist())
    new = sorted((picked for picked in pictures if picked.uri not in known), key=lambda picked: picked.uri)
    if not new:
        return plan
    scenes_only = plan.table.filter(pc.is_null(plan.table.column("duplicate_of")))
    first: dict[str, str] = dict(
        zip(scenes_only.column("scene_id").to_pylist(), scenes_only.column("uri").to_pylist(), strict=True)
    )
    mine: dict[str, Row] = {}
    rows: list[Row] = []
    scenes = 0
    for number_read, found in enumerate(in_order(read, new)):
        tell(f"reading the pictures once, {number_read:,} of {len(new):,}")
        content = content_of(found)
        duplicate_of = first.get(content["scene_id"])
        first.setdefault(content["scene_id"], content["uri"])
        shard = plan.shards + (
            scenes // scenes_per_shard if duplicate_of is None else max(scenes - 1, 0) // scenes_per_shard
        )
        scenes += duplicate_of is None
        row = {"shard": shard, "position": len(rows), "duplicate_of": duplicate_of, **content}
        rows.append(row)
        scene = mine.setdefault(content["scene_id"], row) if duplicate_of is None else mine.get(content["scene_id"])
        if scene is not None and scene is not row and _masked(row) and not _masked(scene):
            _exchange(scene, row, rows)
            first[content["scene_id"]] = scene["uri"]
    _write(storage, number, rows)  # if another driver was first, its plan counts
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


def _masked(row: Row) -> bool:
    return bool(row["masks"] or row["masks_error"])


def _exchange(scene: Row, repeat: Row, rows: Sequence[Row]) -> None:
    """Two rows with the same bytes change places: the second becomes the scene."""
    places = {name: (scene[name], repeat[name]) for name in ("shard", "position")}
    content = dict(scene)
    scene.update(repeat, duplicate_of=None)
    repeat.update(content, duplicate_of=scene["uri"])
    for name, (of_scene, of_repeat) in places.items():
        scene[name], repeat[name] = of_scene, of_repeat
    for row in rows:
        if row["duplicate_of"] == repeat["uri"]:
            row["duplicate_of"] = scene["uri"]


def _last_of_each_place(table: pa.Table) -> pa.Table:
    """Sorted by place; of several rows in one place the last."""
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
    pq.write_table(pa.Table.from_pylist(list(rows), schema=PLAN), buffer, compression="zstd")
    storage.create(f"_plan/{number:06d}.parquet", buffer.getvalue())


def _plan_files(storage: Storage) -> list[str]:
    return sorted(name for name in storage.names("_plan") if name.endswith(".parquet"))

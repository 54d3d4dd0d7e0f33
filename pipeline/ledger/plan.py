"""The plan: which files, which scenes, which shard each belongs to. Written first, then only extended (invariant 1).

`_plan/000000.parquet` is made by the first run; a later run adds `000001.parquet` with the files that have come since,
in new shards. Each is created if absent, so two drivers agree on one plan.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.storage.folder import Storage
from pipeline.storage.many import in_order
from schemas.records import PLAN, scene_id_of
from stages.ingest.source.hashing import Hashed


class Plan:
    """The plan in Arrow columns (about 200 bytes a file), with the order of every shard."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table.sort_by([("shard", "ascending"), ("position", "ascending")]).combine_chunks()
        shards = self.table.column("shard")
        self.shards: int = (pc.max(shards).as_py() + 1) if len(shards) else 0
        self._starts = [0] * (self.shards + 1)
        for entry in pc.value_counts(shards).to_pylist() if self.shards else []:
            self._starts[entry["values"] + 1] = entry["counts"]
        for shard in range(self.shards):
            self._starts[shard + 1] += self._starts[shard]

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def rows(self, shard: int) -> list[dict[str, Any]]:
        """Plan rows of a shard, in order, duplicates included."""
        start, end = self._starts[shard], self._starts[shard + 1]
        return list(self.table.slice(start, end - start).to_pylist())

    def scenes(self, shard: int) -> list[str]:
        """Scenes of a shard, in order, each once."""
        return [row["scene_id"] for row in self.rows(shard) if row["duplicate_of"] is None]

    def scene_count(self) -> int:
        return int(pc.sum(pc.is_null(self.table.column("duplicate_of"))).as_py() or 0)


def read_plan(storage: Storage) -> Plan:
    """The plan as far as it is written; empty if there is none."""
    tables = [PLAN.empty_table()]
    for name in _plan_files(storage):
        tables.append(pq.read_table(io.BytesIO(storage.read(f"_plan/{name}"))).cast(PLAN))
    return Plan(pa.concat_tables(tables))


def extend_plan(
    storage: Storage, uris: Iterable[str], scenes_per_shard: int, hash_file: Callable[[str], Hashed]
) -> Plan:
    """Adds the files that the plan does not hold yet, in new shards, and returns the whole plan.

    hash_file: of one URI; called for many at once.
    """
    number = len(_plan_files(storage))  # before the plan is read: a driver that comes in between takes this number
    plan = read_plan(storage)
    known = set(plan.table.column("uri").to_pylist())
    new = sorted(uri for uri in uris if uri not in known)
    if not new:
        return plan
    first: dict[str, str] = dict(
        zip(plan.table.column("scene_id").to_pylist(), plan.table.column("uri").to_pylist(), strict=True)
    )
    rows: list[dict[str, Any]] = []
    scenes = 0
    for found in in_order(hash_file, new):
        scene_id = scene_id_of(found.sha256 or hashlib.sha256(found.uri.encode()).hexdigest())
        duplicate_of = first.get(scene_id)
        first.setdefault(scene_id, found.uri)
        shard = plan.shards + (
            scenes // scenes_per_shard if duplicate_of is None else max(scenes - 1, 0) // scenes_per_shard
        )
        scenes += duplicate_of is None
        rows.append(
            {
                "shard": shard,
                "position": len(rows),
                "uri": found.uri,
                "scene_id": scene_id,
                "sha256": found.sha256,
                "bytes": found.bytes,
                "duplicate_of": duplicate_of,
                "error": found.error,
            }
        )
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=PLAN), buffer, compression="zstd")
    storage.create(f"_plan/{number:06d}.parquet", buffer.getvalue())  # if another driver was first, its plan counts
    return read_plan(storage)


def copy_plan(storage: Storage, earlier: Storage) -> Plan:
    """The plan of an earlier OUTPUT, shard by shard: its handles keep their shards here."""
    for name in _plan_files(earlier):
        storage.create(f"_plan/{name}", earlier.read(f"_plan/{name}"))
    return read_plan(storage)


def _plan_files(storage: Storage) -> list[str]:
    return sorted(name for name in storage.names("_plan") if name.endswith(".parquet"))

"""An OUTPUT of many shards that no job has made: a plan, commits as packers write them, and one file of each kind under
many names."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.ledger.commits import Commit, ShardFile
from pipeline.ledger.plan import Plan, extend_plan
from pipeline.ledger.rounds import FAILURES
from pipeline.ledger.run_record import start_record
from pipeline.shards.pack import tally_of
from pipeline.shards.tables import write_table
from pipeline.stage_kinds import kinds_of
from pipeline.storage.folder import Storage
from schemas.job import JobSpec
from schemas.records import ACCOUNT
from stages.ingest.census import Picked, Read, take_census
from stages.ingest.source.hashing import Hashed

SCENES = 2
PICTURES = 4
_LINKS = 30_000
"""Names that one file is given; a disk allows 65,000."""


def made_output(folder: Path, shards: int, settled: int) -> JobSpec:
    """Builds source and OUTPUT under `folder`: so many shards in the plan, the first `settled` of them through all
    stages. One scene in a hundred shards fails in extract. Returns the job's spec."""
    source = folder / "in"
    source.mkdir(parents=True)
    for number in range(shards * SCENES):
        below = source / f"{number // 1000:05d}"
        if number % 1000 == 0:
            below.mkdir()
        (below / f"{number:08d}.jpg").write_bytes(b"%d" % number)
    spec = JobSpec.model_validate(
        {
            "source": {"uri": str(source)},
            "output": str(folder / "out"),
            "pack": {"scenes_per_shard": SCENES},
            "evaluate": {"enabled": True},
        }
    )
    storage = Storage(spec.output)
    start_record(storage, spec, [kind.name for kind in kinds_of(spec)])
    plan = extend_plan(storage, take_census(spec).pictures, SCENES, _hashed)
    writer = _Writer(storage, plan)
    for kind in kinds_of(spec):
        (folder / "out" / kind.table).mkdir()
        (folder / "out" / "_commits" / kind.name).mkdir(parents=True)
    for name in (FAILURES, "account"):
        (folder / "out" / name).mkdir()
    (folder / "out" / "_commits" / FAILURES).mkdir()
    for shard in range(settled):
        writer.settle(shard, kinds_of(spec))
    return spec


def _hashed(picked: Picked) -> Read:
    sha = hashlib.sha256(picked.uri.encode()).hexdigest()
    return Read(picked, Hashed(picked.uri, picked.bytes, sha, None), None, None)


class _Writer:
    """Writes commits; the files that they name are links to one of each kind."""

    def __init__(self, storage: Storage, plan: Plan) -> None:
        self.out, self.plan = Path(storage.root), plan
        self.made: dict[str, tuple[ShardFile, bytes]] = {}
        self.linked: dict[str, int] = {}

    def settle(self, shard: int, kinds: list[Any]) -> None:
        rows = self.plan.rows(shard)
        scenes = [row["scene_id"] for row in rows]
        failures: list[dict[str, Any]] = []
        for kind in kinds:
            lost = []
            if kind.name == "extract" and shard % 100 == 0:
                lost = [_failure(scenes.pop(), rows[-1]["uri"])]
                failures += lost
            files = [self._file(kind.table, "parquet", shard)]
            members: dict[str, list[int]] = {}
            if kind.tar:
                files.append(self._file(kind.table, "tar", shard))
                members = {name: [512 + 1024 * i, 100] for i, name in enumerate(_members(scenes))}
            made = Commit(kind.name, shard, 0, f"{shard:012x}", files, scenes, lost, members, 0.1, 1.8e9 + shard)
            self._commit(replace(made, tally=tally_of(kind.table, _rows(kind.table, scenes))))
        files = [self._file(FAILURES, "parquet", shard), self._file("account", "parquet", shard)]
        made = Commit(FAILURES, shard, 0, f"{shard:012x}", files, [], [], {}, 0.1, 1.8e9 + shard)
        self._commit(replace(made, tally=tally_of("account", _rows("account", scenes))))

    def _commit(self, record: Commit) -> None:
        path = self.out / "_commits" / record.stage / f"{record.shard:06d}.json"
        path.write_bytes(record.to_json())

    def _file(self, table: str, suffix: str, shard: int) -> ShardFile:
        key = f"{table}.{suffix}"
        if key not in self.made:
            data = _content(table) if suffix == "parquet" else b"tar" * 100
            rows = pq.ParquetFile(io.BytesIO(data)).metadata.num_rows if suffix == "parquet" else 0
            self.made[key] = (ShardFile("", len(data), hashlib.sha256(data).hexdigest(), rows), data)
        file, data = self.made[key]
        name = f"{table}/{table}-{shard:06d}.{suffix}"
        number = self.linked[key] = self.linked.get(key, -1) + 1
        first = self.out / f".made-{key}-{number // _LINKS}"
        if number % _LINKS == 0:
            first.write_bytes(data)
        os.link(first, self.out / name)
        return ShardFile(name, file.bytes, file.sha256, file.rows)


def _members(scenes: list[str]) -> Iterator[str]:
    for scene in scenes:
        yield from (f"{scene}-{number:04d}.png" for number in range(PICTURES))


def _failure(scene: str, uri: str) -> dict[str, Any]:
    told = {"error": "SceneError", "message": "diverged at phase 1 step 7", "traceback": None, "attempt": 1}
    return {"stage": "extract", "scene_id": scene, "uri": uri, **told}


def _content(table: str) -> bytes:
    """A table's file with rows that readers can count."""
    buffer = io.BytesIO()
    scenes = [f"{number:016x}" for number in range(SCENES)]
    if table == "account":
        pq.write_table(pa.Table.from_pylist(_rows(table, scenes), schema=ACCOUNT), buffer, compression="zstd")
    else:
        write_table(buffer, table, _rows(table, scenes))
    return buffer.getvalue()


def _rows(table: str, scenes: list[str]) -> list[dict[str, Any]]:
    if table == "account":
        told = {"kind": "file", "uri": "x", "outcome": "scene", "reason": None}
        return [{"scene_id": scene, **told} for scene in scenes]
    if table == "scores":
        told = {"text": "an object", "concepts": [0], "file": "x", "prompt_similarity": 0.3, "identity_similarity": 0.8}
        told |= {"identity": [0.8], "found": [1], "complete": True, "contrast": 0.2, "copy_similarity": 0.1}
        told |= {"collapsed": False, "keep": True, "mask": "x"}
        return [
            {"scene_id": scene, "key": f"{scene}-{number:04d}", **told}
            for scene in scenes
            for number in range(PICTURES)
        ]
    if table == "handles":
        told = {"word": "object", "embedding": [0.5], "tuning": "lora", "steps": [1, 1]}
        return [
            {"scene_id": scene, "index": index, "token": f"<asset{index}>", "file": f"{scene}.safetensors", **told}
            for scene in scenes
            for index in range(2)
        ]
    return []

"""What workers make of a scene in a simulated job, and how long it takes them; and the source that it is made of."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import cycle
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from benchmarks.scale_ray import NODE
from pipeline.ledger.commits import Commit, ShardFile, commit, new_attempt
from pipeline.scheduling.packer import PackerImpl
from pipeline.scheduling.worker import Outcome, SetupError, StageWorkerImpl
from pipeline.shards.pack import PackOrder, tally_of
from pipeline.shards.tables import table_name, write_table
from pipeline.shards.tars import tar_name
from pipeline.shards.unit import Unit
from pipeline.stage_kinds import EVALUATE, EXTRACT, GENERATE, INGEST, SEGMENT, StageKind
from schemas.job import JobSpec
from schemas.outcomes import Failure, SceneOutput, SceneTask
from schemas.records import TABLES
from stages.ingest.census import Census, Picked, Read, packed_pictures
from stages.ingest.source.hashing import Hashed
from stages.stage import StageContext

SECONDS = {"ingest": 0.5, "segment": 4.0, "extract": 20.0, "generate": 15.0, "evaluate": 6.0}
"""A scene's mean in each stage; drawn log-normally, so that one in a hundred takes three times as long."""
SIGMA = 0.5
SETUP_S = 60.0
"""A worker's imports and models."""
FAILED = 0.002
"""Scenes of a stage that fail by a fault of their own."""
CONCEPTS = 2
SIZES = {"ingest": 0.5, "segment": 0.0, "extract": 4.0, "generate": 1.0, "evaluate": 0.02}
"""Of a member of a stage's tar, over that of a picture."""
FAILURE = Failure("", "SceneError", "nothing to be seen in the picture")
_SUFFIX = {"generate": ".jpg", "evaluate": ".mask.png"}
_LOTS = {"ingest": 7, "segment": 11, "extract": 13, "generate": 17, "evaluate": 19}


def source(scenes: int) -> Census:
    """A source of so many pictures without masks, as a listing tells of it."""
    pictures = (Picked(f"scale://source/{number:09d}.jpg", "one", 1_000_000) for number in range(scenes))
    return Census(packed_pictures(pictures))


def read_picture(picked: Picked, spec: JobSpec) -> Read:
    """A picture that has been hashed."""
    return Read(
        picked, Hashed(picked.uri, picked.bytes, hashlib.sha256(picked.uri.encode()).hexdigest(), None), None, None
    )


class Work:
    """pictures: of a scene; picture_bytes: size of each."""

    PICTURES, BYTES = 4, 100_000

    def __init__(self, pictures: int = PICTURES, picture_bytes: int = BYTES, seed: int = 0) -> None:
        draws = np.random.default_rng(seed)
        times = draws.lognormal(-(SIGMA**2) / 2, SIGMA, 65_537)
        self._times: Iterator[float] = cycle(times.tolist())
        self.pictures, self.content = pictures, draws.bytes(4 * picture_bytes)
        self.bytes = picture_bytes

    def seconds(self, stage: str) -> float:
        """What one scene takes."""
        return SECONDS[stage] * next(self._times)

    def fails(self, stage: str, scene_id: str) -> bool:
        """Whether a scene does, by a lot that is drawn from its id."""
        return int(scene_id[:8], 16) * _LOTS[stage] % 1_000_003 < FAILED * 1_000_003

    def names(self, stage: str, scene_id: str) -> list[str]:
        """Members of a stage's tar."""
        if stage == "segment":
            return []
        if stage not in _SUFFIX:
            return [f"{scene_id}.png" if stage == "ingest" else f"{scene_id}.safetensors"]
        return [f"{scene_id}-{number:04d}{_SUFFIX[stage]}" for number in range(self.pictures)]

    def output(self, stage: str, table: str, scene_id: str) -> SceneOutput:
        """What a stage leaves of a scene: a failure now and then."""
        if self.fails(stage, scene_id):
            return SceneOutput(scene_id, failure=replace(FAILURE, scene_id=scene_id))
        numbers = range({"scenes": 1, "concepts": CONCEPTS, "handles": CONCEPTS}.get(table, self.pictures))
        rows = [row_of(table, scene_id, number) for number in numbers]
        content = self.content[: int(SIZES[stage] * self.bytes)]
        return SceneOutput(scene_id, rows, dict.fromkeys(self.names(stage, scene_id), content))


def row_of(table: str, scene_id: str, number: int) -> dict[str, Any]:
    """A row with something in each column that must not be empty."""
    row: dict[str, Any] = {
        field.name: _something(field.type) for field in TABLES[table] if not field.nullable or field.name == "masks"
    }
    named = {"scene_id": scene_id, "key": f"{scene_id}-{number:04d}", "index": number, "status": "ok", "keep": True}
    return row | {name: value for name, value in named.items() if name in TABLES[table].names}


def _something(type_: pa.DataType) -> Any:
    if pa.types.is_struct(type_):
        return {field.name: _something(field.type) for field in type_}
    if pa.types.is_list(type_):
        return []
    if pa.types.is_boolean(type_):
        return True
    return "a photo of <asset0> at the beach" if pa.types.is_string(type_) else 1


class LightWorker:
    """A worker's answers and nothing else: who reads and writes what, `WholeWorker` tells."""

    def __init__(self, kind: StageKind, work: Work) -> None:
        self.kind, self.work = kind, work

    def __call__(self, method: str, arguments: tuple[Any, ...]) -> tuple[Any, float]:
        if method == "run":
            return self.run(*arguments)
        told = {"setup": None, "node": NODE, "progress": {"share": 0.5}, "part": True}
        return told[method], SETUP_S * (method == "setup")

    def run(self, unit: Unit) -> tuple[list[Outcome], float]:
        outcomes = [Outcome(scene_id, self.work.fails(unit.stage, scene_id)) for scene_id in unit.scene_ids]
        return outcomes, sum(self.work.seconds(unit.stage) for _ in unit.scene_ids)


class LightPacker(PackerImpl):
    """A packer whose shards have the pipeline's own commits, and all files hold the same rows: writing a thousand
    shards a second is not what is measured."""

    work: ClassVar[Work]
    _tables: ClassVar[dict[str, tuple[bytes, dict[str, Any] | None]]] = {}

    def pack(self, order: PackOrder) -> tuple[Commit, int]:
        failed = [one for one in order.scene_ids if self.work.fails(order.stage, one)]
        gone = set(failed)
        done = [one for one in order.scene_ids if one not in gone]
        names = [name for one in done for name in self.work.names(order.stage, one)]
        data, tally = self._table(order.table)
        record = Commit(
            order.stage,
            order.shard,
            order.round,
            new_attempt(order.round),
            [],
            done,
            [FAILURE.row(order.stage) | {"scene_id": one, "uri": order.uris[one]} for one in failed],
            {name: [512 * (2 * place + 1), 512] for place, name in enumerate(names)},
            finished_at=0.0,
            crc32=[0] * len(names),
            tally=tally,
        )
        self._file(record, table_name(order.table, order.shard), data, len(done))
        if names:
            self._file(record, tar_name(order.table, order.shard), b"\0" * 1024, 0)
        self.check()
        commit(self.storage, record)
        return record.without_members(), len(record.to_json())

    def _file(self, record: Commit, path: str, data: bytes, rows: int) -> None:
        with self.storage.open_write(f"{record.folder}/{path.rsplit('/', 1)[1]}") as file:
            file.write(data)
        record.files.append(ShardFile(path, len(data), hashlib.sha256(data).hexdigest(), rows))

    def _table(self, table: str) -> tuple[bytes, dict[str, Any] | None]:
        """The file, and what its rows come to, by which nobody has to read it."""
        if table not in self._tables:
            buffer, rows = io.BytesIO(), [row_of(table, "0" * 16, number) for number in range(64)]
            write_table(buffer, table, rows)
            self._tables[table] = buffer.getvalue(), tally_of(table, rows)
        return self._tables[table]


class WholeWorker:
    """The pipeline's own worker, around a stage that stands in."""

    def __init__(self, kind: StageKind, work: Work, spec: JobSpec, output: str) -> None:
        StandIn.work = work
        self.kind, self.work = kind, work
        self.worker = StageWorkerImpl(kind.factory, spec, output, None)

    def __call__(self, method: str, arguments: tuple[Any, ...]) -> tuple[Any, float]:
        if method == "node":
            return NODE, 0.0
        value: list[Outcome] | SetupError | None = getattr(self.worker, method)(*arguments)
        if method == "run":
            return value, sum(self.work.seconds(self.kind.name) for _ in arguments[0].scene_ids)
        return value, SETUP_S * (method == "setup")


class StandIn:
    """A stage that reads what the real one reads and makes what `Work` says."""

    name: ClassVar[str]
    table: ClassVar[str]
    needs: ClassVar[tuple[str, ...]]
    files: ClassVar[tuple[str, ...]]
    work: ClassVar[Work] = Work()

    def __init__(self, spec: JobSpec, context: StageContext) -> None:
        pass

    def prepare(self) -> None:
        pass

    def setup(self) -> None:
        pass

    def process(self, tasks: Sequence[SceneTask]) -> Iterator[SceneOutput]:
        for task in tasks:
            yield self.work.output(self.name, self.table, task.scene_id)


class Ingest(StandIn):
    name, table, needs, files = "ingest", "scenes", ("plan",), ()


class Segment(StandIn):
    name, table, needs, files = "segment", "concepts", ("scenes",), ("scenes",)


class Extract(StandIn):
    name, table, needs, files = "extract", "handles", ("scenes", "concepts"), ("scenes",)


class Generate(StandIn):
    name, table, needs, files = "generate", "variations", ("handles",), ("handles",)


class Evaluate(StandIn):
    name, table, needs, files = "evaluate", "scores", ("concepts", "variations"), ("scenes", "variations")


STAGES: tuple[type[StandIn], ...] = (Ingest, Segment, Extract, Generate, Evaluate)


def kinds() -> list[StageKind]:
    """The stages of a job. Given them, an opened job looks for no models."""
    real = (INGEST, SEGMENT, EXTRACT, GENERATE, EVALUATE)
    return [replace(kind, factory=f"{__name__}:{stage.__name__}") for kind, stage in zip(real, STAGES, strict=True)]

"""Invariant 8: memory does not grow with the corpus, and pictures never travel through the driver."""

from __future__ import annotations

import pickle
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from pipeline.scheduling.worker import StageWorkerImpl
from pipeline.shards.pack import PackOrder, pack
from pipeline.shards.parts import part_name, work_folder, write_part
from pipeline.shards.unit import Unit
from pipeline.storage.folder import Storage
from pipeline.storage.many import in_order
from schemas.job import Source
from schemas.outcomes import SceneOutput
from stages.ingest.source.hashing import hash_file
from tests.whole_jobs.test_faults import bucket, toy_spec

MIB = 2**20


def peak_of(work: Callable[[], object]) -> float:
    """Peak of Python's memory while `work` runs. Unit: MiB."""
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / MIB


def test_packing_holds_one_scene_at_a_time(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path / "out"))

    def packed(shard: int, count: int) -> float:
        scenes = [f"{number:016x}" for number in range(count)]
        for scene in scenes:
            row = {"scene_id": scene, "uri": "x", "status": "ok"}
            write_part(storage, part_name("ingest", shard, 0, scene),
                       SceneOutput(scene, [row], {f"{scene}.png": bytes(2 * MIB)}))  # fmt: skip
        return peak_of(
            lambda: pack(storage, PackOrder("ingest", "scenes", True, shard, 0, tuple(scenes), tuple(scenes)))
        )

    few, many = packed(0, 3), packed(1, 30)
    assert many < few + 4, f"{few:.0f} MiB for 3 scenes of 2 MiB, {many:.0f} MiB for 30"


def test_planning_streams_the_files(tmp_path: Path) -> None:
    uris = []
    for number in range(4):
        file = tmp_path / f"{number}.jpg"
        file.write_bytes(bytes([number]) * (64 * MIB))
        uris.append(str(file))
    peak = peak_of(lambda: list(in_order(lambda uri: hash_file(uri, Source(uri=str(tmp_path)), 100 * MIB), uris)))
    assert peak < 100  # four threads, a few blocks each; 256 in all


def test_a_workers_answer_is_small_whatever_the_pictures(tmp_path: Path) -> None:
    source = bucket(tmp_path / "in", {"a": "x" * (4 * MIB), "b": ""})
    spec = toy_spec(source, tmp_path / "out")
    worker = StageWorkerImpl("tests.support.toy_stages:ToyIngest", spec, str(tmp_path / "out"), None)
    assert worker.setup(True) is None
    plan = {name * 16: {"scene_id": name * 16, "uri": str(source / f"{name}.jpg"), "sha256": "0", "bytes": 1}
            for name in "ab"}  # fmt: skip
    answer = worker.run(Unit("ingest", 0, 0, tuple(plan), plan))
    assert [outcome.failed for outcome in answer] == [False, False]
    assert len(pickle.dumps(answer)) < 1000
    (parts,) = (tmp_path / "out" / work_folder("ingest", 0, 0)).iterdir()
    assert parts.stat().st_size > 4 * MIB

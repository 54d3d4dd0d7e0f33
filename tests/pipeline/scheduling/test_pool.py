"""How many scenes one call of a worker takes: the batch, or with `batch: auto` an even share of the job."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.scheduling import pool as pool_module
from pipeline.scheduling.pool import Worker, WorkerPool
from pipeline.shards.unit import Unit
from pipeline.stage_kinds import EXTRACT, INGEST, StageKind
from pipeline.watching.watcher import InHand
from schemas.job import JobSpec

TWO_CORES = {"CPU": 2.0}


@pytest.mark.parametrize(
    ("kind", "extract", "scenes", "size"),
    [
        (EXTRACT, {}, 10, 5),
        (EXTRACT, {}, 11, 6),
        (EXTRACT, {}, 1000, 32),
        (EXTRACT, {}, 0, 1),
        (EXTRACT, {"batch": 4}, 10, 4),
        (EXTRACT, {"batch": 8}, 2, 8),
        (EXTRACT, {"tuning": "full"}, 10, 1),
        (INGEST, {}, 10, 16),
    ],
)
def test_units_keep_all_workers_busy(kind: StageKind, extract: dict[str, Any], scenes: int, size: int) -> None:
    spec = JobSpec.model_validate({"source": {"uri": "in"}, "output": "out", "extract": extract})
    assert WorkerPool(kind, spec, "out", None, has_gpus=False).unit_size(scenes, TWO_CORES) == size


def test_one_worker_takes_it_all_and_many_share_it() -> None:
    for workers, size in ((1, 20), (3, 7), (50, 1)):
        spec = JobSpec.model_validate(
            {"source": {"uri": "in"}, "output": "out", "cluster": {"extract": {"workers": workers}}}
        )
        assert WorkerPool(EXTRACT, spec, "out", None, has_gpus=False).unit_size(20, TWO_CORES) == size


class Actor:
    """Answers what it is given; each question is a reference of its own."""

    def __init__(self) -> None:
        self.asked: list[object] = []
        self.progress = self
        self.run = self

    def remote(self, *unit: object) -> object:
        self.asked.append(object())
        return self.asked[-1]


def test_workers_are_listened_to_and_waited_for_never(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not answer is not asked twice; an answer about the unit before is not taken for this one's."""
    answers: dict[object, dict[str, Any]] = {}
    now = [100.0]
    monkeypatch.setattr(pool_module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(pool_module.ray, "wait", lambda refs, timeout: ([r for r in refs if r in answers], []))
    monkeypatch.setattr(pool_module.ray, "get", answers.__getitem__)
    spec = JobSpec.model_validate({"source": {"uri": "in"}, "output": "out"})
    pool, actor = WorkerPool(EXTRACT, spec, "out", None, has_gpus=False), Actor()
    pool.workers = [Worker(actor, call="setup")]
    pool.listen()
    assert [(hand.scenes, hand.word) for hand in pool.in_hand()] == [(0, {})]
    now[0] += 10
    pool.listen()
    assert len(actor.asked) == 1, "the first question is open"
    answers[actor.asked[0]] = {"doing": "loading models"}
    pool.listen()
    assert pool.in_hand() == [InHand(0, {"doing": "loading models"})]
    pool.workers[0].ready, pool.workers[0].call = True, None
    assert pool.in_hand() == []
    late = actor.asked[1]
    pool.queue.append(Unit("extract", 0, 0, ("a", "b"), {}, {}))
    pool.dispatch()
    answers[late] = {"share": 1.0}
    now[0] += 10
    pool.listen()
    assert pool.in_hand() == [InHand(2, {})]
    answers[actor.asked[-1]] = {"share": 0.5}
    pool.listen()
    assert pool.in_hand() == [InHand(2, {"share": 0.5})]

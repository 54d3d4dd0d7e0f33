"""A pool follows its queue and the nodes of the cluster: how many workers it has, and what one call of them takes."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.scheduling import pool as pool_module
from pipeline.scheduling.nodes import Node
from pipeline.scheduling.pool import Worker, WorkerPool
from pipeline.shards.unit import Unit
from pipeline.stage_kinds import EVALUATE, EXTRACT, INGEST, SEGMENT, StageKind
from pipeline.watching.watcher import InHand
from schemas.job import JobSpec

TWO_CORES = [Node("a", {"CPU": 2.0})]


def pool_of(kind: StageKind, nodes: list[Node], has_gpus: bool = False, **spec: Any) -> WorkerPool:
    found = JobSpec.model_validate({"source": {"uri": "in"}, "output": "out", **spec})
    pool = WorkerPool(kind, found, "out", None, has_gpus)
    pool.follow(nodes)
    return pool


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
    assert pool_of(kind, TWO_CORES, extract=extract).unit_size(scenes) == size


def test_one_worker_takes_it_all_and_many_share_it() -> None:
    for workers, size in ((1, 20), (3, 7), (50, 1)):
        assert pool_of(EXTRACT, TWO_CORES, cluster={"extract": {"workers": workers}}).unit_size(20) == size


class Actor:
    """Answers what it is given; each question is a reference of its own."""

    def __init__(self) -> None:
        self.asked: list[object] = []
        self.progress = self.run = self.setup = self.node = self

    def remote(self, *unit: object) -> object:
        self.asked.append(object())
        return self.asked[-1]


def test_workers_are_listened_to_and_waited_for_never(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not answer is not asked twice; an answer about the unit before is not taken for this one's."""
    answers: dict[object, dict[str, Any]] = {}
    now = [100.0]
    monkeypatch.setattr(pool_module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(pool_module.ray, "wait", lambda refs, **_: ([r for r in refs if r in answers], []))
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


class Started:
    """Stands in for `StageWorker`: keeps the options of every worker that was asked for."""

    def __init__(self) -> None:
        self.options_of: list[dict[str, Any]] = []

    def options(self, **options: Any) -> Started:
        self.options_of.append(options)
        return self

    def remote(self, *arguments: object) -> Actor:
        return Actor()


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    found = Started()
    monkeypatch.setattr(pool_module, "StageWorker", found)
    monkeypatch.setattr(pool_module.ray, "kill", lambda actor, no_restart: None)
    return found


def units(count: int) -> list[Unit]:
    return [Unit("extract", 0, 0, (f"{number}",), {}, {}) for number in range(count)]


def settle(pool: WorkerPool, *nodes: str) -> None:
    """Every worker has a place, its models, and nothing to do yet."""
    pool.prepared = True
    for number, worker in enumerate(pool.workers):
        worker.node, worker.ready, worker.call = nodes[number % len(nodes)], True, None


@pytest.mark.parametrize(
    ("kind", "totals", "limit"),
    [
        (INGEST, [{"CPU": 6.0}, {"CPU": 2.0}, {}], 8),
        (EXTRACT, [{"CPU": 1.0, "GPU": 4.0}, {"CPU": 64.0}, {"CPU": 8.0, "GPU": 2.0}], 3),
        (SEGMENT, [{"CPU": 64.0, "GPU": 1.0}], 4),
        (EVALUATE, [{"CPU": 64.0, "GPU": 3.0}], 6),
        (EXTRACT, [], 1),
    ],
)
def test_what_the_cluster_carries_is_what_its_nodes_carry(
    kind: StageKind, totals: list[dict[str, float]], limit: int
) -> None:
    """One that holds no whole worker holds none, whatever is left over elsewhere."""
    nodes = [Node(str(number), total) for number, total in enumerate(totals)]
    assert pool_of(kind, nodes, has_gpus=True).limit() == limit


def test_two_nodes_with_six_cores_carry_no_third_worker_of_four() -> None:
    nodes = [Node("a", {"CPU": 6.0}), Node("b", {"CPU": 6.0})]
    assert pool_of(INGEST, nodes, cluster={"ingest": {"cpus": 4}}).limit() == 2


def test_two_gpus_carry_four_workers_of_two_fifths() -> None:
    """Ray places four, as none lies across two GPUs; five times 0.4 is 2 all the same."""
    nodes = [Node("a", {"CPU": 16.0, "GPU": 2.0})]
    assert pool_of(SEGMENT, nodes, has_gpus=True, cluster={"segment": {"gpus": 0.4}}).limit() == 4


def test_a_node_that_joins_gives_workers_and_one_that_leaves_takes_its_own(started: Started) -> None:
    pool = pool_of(EXTRACT, TWO_CORES)
    pool.queue.extend(units(9))
    pool.grow()
    assert len(pool.workers) == 1, "the first prepares what all share"
    settle(pool, "a")
    pool.grow()
    assert len(pool.workers) == 2
    pool.follow([*TWO_CORES, Node("b", {"CPU": 3.0})])
    pool.grow()
    assert len(pool.workers) == 5
    settle(pool, "a", "b")
    busy, lost = pool.workers[0], [worker for worker in pool.workers if worker.node == "b"]
    pool.queue.clear()
    busy.unit = units(1)[0]
    pool.follow(TWO_CORES, shut={"b"})
    assert not any(worker in pool.workers for worker in lost), "an idle one there would only fail its next unit"
    assert busy in pool.workers


def test_a_node_that_is_about_to_go_is_given_nothing_new(started: Started) -> None:
    pool = pool_of(EXTRACT, TWO_CORES)
    pool.queue.extend(units(2))
    pool.prepared = True
    pool.grow()
    settle(pool, "a", "b")
    pool.dispatch()
    there = pool.workers[1]
    pool.follow(TWO_CORES, shut={"b"})
    assert there.unit is not None
    assert there in pool.workers, "what it has it may finish"
    there.unit = there.call = None
    pool.queue.extend(units(3))
    pool.dispatch()
    assert there.unit is None
    pool.grow()
    assert len(pool.workers) == 3, "its place is another's now"


def test_there_are_never_more_workers_than_units(started: Started) -> None:
    pool = pool_of(EXTRACT, [Node("a", {"CPU": 2.0})], cluster={"extract": {"workers": 8}})
    pool.queue.extend(units(6))
    pool.prepared = True
    pool.grow()
    assert len(pool.workers) == 6
    for worker in pool.workers[:2]:
        worker.node, worker.ready, worker.call = "a", True, None
    pool.dispatch()
    for worker in pool.workers[:2]:  # each does one unit, and takes the next
        worker.unit = worker.call = None
    pool.dispatch()
    pool.grow()
    assert len(pool.queue) == 2
    assert len(pool.workers) == 4, "two for which nothing is left are called off"
    assert all(worker.unit is not None for worker in pool.workers[:2])


def test_gpus_that_come_late_are_used_and_waited_for_when_they_go(started: Started) -> None:
    pool = pool_of(EXTRACT, TWO_CORES)
    pool.queue.extend(units(2))
    pool.prepared = True
    pool.grow()
    settle(pool, "a")
    pool.workers[0].unit = units(1)[0]
    assert pool.follow([*TWO_CORES, Node("b", {"CPU": 4.0, "GPU": 1.0})])
    assert len(pool.workers) == 1, "the idle one on a CPU goes, the busy one may finish"
    pool.grow()
    assert started.options_of[-1]["num_gpus"] == 1
    assert not pool.follow(TWO_CORES, shut={"b"})
    assert pool.gpus == 1
    named = pool_of(EXTRACT, TWO_CORES, cluster={"extract": {"gpus": 0}})
    assert not named.follow([Node("b", {"CPU": 4.0, "GPU": 1.0})])
    assert named.gpus == 0


def test_many_workers_are_asked_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A question is half a millisecond in which the driver gives nobody work: of 1,000 workers every two seconds it was
    a quarter of its time."""
    now = [100.0]
    monkeypatch.setattr(pool_module.time, "monotonic", lambda: now[0])
    looks: list[int] = []

    def wait(refs: list[Any], **_: Any) -> tuple[list[Any], list[Any]]:
        looks.append(len(refs))
        return refs, []

    monkeypatch.setattr(pool_module.ray, "wait", wait)
    monkeypatch.setattr(pool_module.ray, "get", lambda ref: {})
    pool, actor = pool_of(EXTRACT, TWO_CORES), Actor()
    pool.workers = [Worker(actor, call="unit", ready=True) for _ in range(1000)]
    for _ in range(100):
        pool.listen()
        now[0] += 1.0
    assert 4_000 <= len(actor.asked) <= 6_000
    assert max(looks) == 1000
    assert len(looks) <= 100, "all answers are looked for at once"

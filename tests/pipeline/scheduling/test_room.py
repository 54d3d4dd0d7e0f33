"""Idle workers of a stage make room for another's: as few as will do, and none for nothing."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.scheduling import pool as pool_module
from pipeline.scheduling import room as module
from pipeline.scheduling.nodes import Node
from pipeline.scheduling.pool import Worker, WorkerPool
from pipeline.scheduling.room import PATIENCE_S, give_way
from pipeline.shards.unit import Unit
from pipeline.stage_kinds import EVALUATE, EXTRACT, GENERATE, SEGMENT, StageKind
from schemas.job import JobSpec

GPU = {"CPU": 8.0, "GPU": 1.0}


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: found[0])
    monkeypatch.setattr(pool_module.ray, "kill", lambda actor, no_restart: None)
    return found


def pool_of(kind: StageKind, *nodes: str | None, busy: int = 0) -> WorkerPool:
    """A worker on each of `nodes`, the first `busy` of them on a unit; None: one that has no place yet."""
    spec = JobSpec.model_validate({"source": {"uri": "in"}, "output": "out"})
    pool = WorkerPool(kind, spec, "out", None, has_gpus=True)
    for number, node in enumerate(nodes):
        call: Any = "call" if number < busy or node is None else None
        pool.workers.append(Worker("actor", call, pool.gpus, node=node, ready=node is not None))
        if number < busy:
            pool.workers[-1].unit = Unit(kind.name, 0, 0, ("a",), {}, {})
    return pool


def test_a_quarter_free_on_each_of_four_nodes_is_no_place_for_a_whole_gpu() -> None:
    """The sum says four quarters. Where nobody had to go for it the job waited for ever, and said nothing."""
    nodes = [Node(name, GPU, {"CPU": 7.0, "GPU": 0.75}) for name in "abcd"]
    segment, extract = pool_of(SEGMENT, *"abcd"), pool_of(EXTRACT, None)
    give_way([segment, extract], nodes)
    assert len(segment.workers) == 3


def test_those_go_where_fewest_have_to() -> None:
    nodes = [Node("a", GPU, {"CPU": 4.0, "GPU": 0.0}), Node("b", GPU, {"CPU": 6.0, "GPU": 0.5})]
    segment, evaluate = pool_of(SEGMENT, *"aaaa"), pool_of(EVALUATE, "b")
    give_way([segment, pool_of(EXTRACT, None), evaluate], nodes)
    assert (len(segment.workers), len(evaluate.workers)) == (4, 0)


def test_nobody_goes_for_what_is_free_or_cannot_become_free() -> None:
    segment, extract = pool_of(SEGMENT, *"ab"), pool_of(EXTRACT, None)
    free = [Node("a", GPU, {"CPU": 7.0, "GPU": 0.75}), Node("b", GPU, {"CPU": 7.0, "GPU": 0.75})]
    give_way([segment, extract], [*free, Node("c", GPU, dict(GPU))])
    assert len(segment.workers) == 2
    assert extract.workers[0].room_since == 1000
    taken, extract = pool_of(SEGMENT, *"aaaa", busy=1), pool_of(EXTRACT, None)
    give_way([taken, extract], [Node("a", GPU, {"CPU": 4.0, "GPU": 0.0})])
    assert len(taken.workers) == 4, "the busy one would still be in the way"
    waited = pool_of(SEGMENT, *"a")
    waited.queue.append(Unit("segment", 0, 0, ("a",), {}, {}))
    give_way([waited, pool_of(EXTRACT, None)], [Node("a", GPU, {"CPU": 7.0, "GPU": 0.75})])
    assert len(waited.workers) == 1, "there is work for it"


def test_each_that_waits_has_room_made_once(now: list[float]) -> None:
    """Its process needs seconds to start; meanwhile Ray counts what it takes, and nobody else is to go for it."""
    evaluate, extract = pool_of(EVALUATE, *"aabb"), pool_of(EXTRACT, None)
    full = [Node(name, GPU, {"CPU": 6.0, "GPU": 0.0}) for name in "ab"]
    give_way([extract, evaluate], full)
    assert len(evaluate.workers) == 2
    now[0] += 2
    give_way([extract, evaluate], full)
    assert len(evaluate.workers) == 2
    now[0] += PATIENCE_S
    give_way([extract, evaluate], full)
    assert not evaluate.workers, "somebody else took the first place"


def test_two_that_wait_are_two_places() -> None:
    evaluate, generate = pool_of(EVALUATE, *"aab"), pool_of(GENERATE, None, None)
    nodes = [Node("a", GPU, {"CPU": 6.0, "GPU": 0.0}), Node("b", GPU, {"CPU": 7.0, "GPU": 0.5})]
    give_way([generate, evaluate], nodes)
    assert not evaluate.workers


@pytest.mark.parametrize("free", [{"CPU": 8.0, "GPU": 1.5}, None])
def test_where_sums_do_not_tell_patience_does(now: list[float], free: dict[str, float] | None) -> None:
    """Two GPUs of one node with three quarters free each, and a cluster whose free resources Ray does not tell."""
    nodes = [Node("a", {"CPU": 8.0, "GPU": 2.0}, free)]
    segment, extract = pool_of(SEGMENT, *"aa"), pool_of(EXTRACT, None)
    give_way([segment, extract], nodes)
    assert len(segment.workers) == 2
    now[0] += PATIENCE_S + 1
    give_way([segment, extract], nodes)
    assert not segment.workers

"""Room for a stage's next worker where idle workers of other stages hold it: who lets go, and where."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence

from pipeline.scheduling.nodes import Node
from pipeline.scheduling.pool import Worker, WorkerPool

PATIENCE_S = 10.0
"""A worker that has found no place for so long after it was to find one finds none, whatever the sums of what is free
say: of four GPUs of a node with a quarter free each, none takes a worker that wants a whole one."""


def give_way(pools: Sequence[WorkerPool], nodes: Sequence[Node]) -> None:
    """Ends idle workers for which nothing is queued, where a worker of another stage has no place: as few as make room
    for it, on the node where fewest have to go. Where none could make room they stay, as their stage may go on first.

    nodes: as of a moment ago.
    """
    now = time.monotonic()
    there = [Node(node.id, node.total, None if node.free is None else dict(node.free)) for node in nodes]
    for pool in pools:
        cpus, gpus = pool.settings.cpus, pool.gpus
        for worker in pool.homeless():
            waited = None if worker.room_since is None else now - worker.room_since
            if waited is not None and waited <= PATIENCE_S:
                continue  # its process is starting there; Ray counts that already
            place = next((node for node in there if node.has_free(cpus, gpus)), None)
            leaving = [(other, one) for other in pools if other is not pool for one in other.spare()]
            if place is None:
                place, leaving = _fewest(leaving, there, cpus, gpus)
            elif waited is None:
                leaving = []
            for other, one in leaving:
                other.drop(one)
            if place is not None:
                _take(place, cpus, gpus, [(other.settings.cpus, one.gpus) for other, one in leaving])
                worker.room_since = now


def _fewest(
    spare: Sequence[tuple[WorkerPool, Worker]], nodes: Sequence[Node], cpus: float, gpus: float
) -> tuple[Node | None, list[tuple[WorkerPool, Worker]]]:
    """The node where fewest workers have to go to leave room for one, and those workers; none where all do not."""
    found: list[tuple[Node, list[tuple[WorkerPool, Worker]]]] = []
    for node in nodes:
        here = sorted((one for one in spare if one[1].node == node.id), key=lambda one: -one[1].gpus)
        more: dict[str, float] = defaultdict(float)
        for number, (pool, worker) in enumerate(here, 1):
            more["CPU"] += pool.settings.cpus
            more["GPU"] += worker.gpus
            if node.has_free(cpus, gpus, more):
                found.append((node, here[:number]))
                break
    return min(found, key=lambda one: len(one[1]), default=(None, []))


def _take(node: Node, cpus: float, gpus: float, given: Sequence[tuple[float, float]]) -> None:
    """Keeps account of what has been given and taken in this look."""
    if node.free is not None:
        node.free["CPU"] = node.free.get("CPU", 0.0) - cpus + sum(one for one, _ in given)
        node.free["GPU"] = node.free.get("GPU", 0.0) - gpus + sum(one for _, one in given)

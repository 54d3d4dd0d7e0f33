"""What a run that is to end waits for, and what it says of states that were not kept."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from pipeline.scheduling import partings
from pipeline.scheduling.partings import Partings
from pipeline.scheduling.pool import WorkerPool


@ray.remote(num_cpus=0)
class Trainer:
    """kept: the answer to `part`; None for none at all."""

    def __init__(self, kept: bool | None) -> None:
        self.kept = kept

    def part(self, within_s: float) -> bool:
        if self.kept is None:
            time.sleep(1000)
        return bool(self.kept)


def pool_of(*workers: tuple[Any, bool]) -> Any:
    """Actors, and whether each has a unit in hand."""
    pool = object.__new__(WorkerPool)
    pool.workers = [SimpleNamespace(actor=actor, unit=unit or None) for actor, unit in workers]
    return pool


def told_at_the_end(waited: Partings, told: list[str]) -> str:
    until = time.monotonic() + 60
    while not waited.over():
        assert time.monotonic() < until
        time.sleep(0.05)
    assert waited.over(), "and stays so"
    return "; ".join(told)


def test_what_was_not_kept_is_counted(local_ray: None, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    make: Any = Trainer
    keeps, keeps_not, silent, dead, idle = (make.remote(kept) for kept in (True, False, None, True, None))
    ray.kill(dead)
    assert not told_at_the_end(Partings(pool_of((keeps, True), (idle, False)), 300, told.append), told)
    monkeypatch.setattr(partings, "GRACE_S", 3.0)
    waited = Partings(pool_of((keeps, True), (keeps_not, True), (silent, True), (dead, True)), 300, told.append)
    assert not waited.over(), "nobody waits within a turn of the scheduler"
    assert told_at_the_end(waited, told) == (
        "3 states of batches in training could not be kept in 3 s: at most the last 5 min of steps are done again"
    )
    for actor in (silent, idle):
        ray.kill(actor)


def test_nothing_is_asked_where_no_state_is_kept() -> None:
    assert Partings(None, 300, print).over()
    assert Partings(pool_of((None, True)), None, print).over()

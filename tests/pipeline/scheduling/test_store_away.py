"""A store that is away while a cluster works: no scene is to blame, and the job stops with a sentence at last."""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray.exceptions import RayTaskError

from pipeline.scheduling import answers as module
from pipeline.scheduling.answers import Answers
from pipeline.scheduling.packer import Packing
from pipeline.shards.unit import Unit
from schemas.errors import StoreAway

SENTENCE = "s3://b does not answer (ConnectionResetError: reset), asked for 240 s; what is written is safe"


def raised(error: Exception) -> RayTaskError:
    return RayTaskError("run", "trace", error).as_instanceof_cause()


def test_a_unit_goes_back_uncounted_until_it_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    unit, said = Unit("ingest", 0, 0, ("a", "b"), {}), list[str]()
    pool: Any = SimpleNamespace(queue=deque(["another"]))
    answers: Any = object.__new__(Answers)
    answers._away_since, answers.event = None, lambda text, about: said.append(text)
    for _ in range(2):
        worker: Any = SimpleNamespace(unit=unit, call="call")
        answers._raised(pool, worker, raised(StoreAway(SENTENCE)))
        assert (worker.unit, worker.call, pool.queue.popleft()) == (None, None, unit)
        now[0] += 300
    assert said[0] == f"ingest waits: {SENTENCE.partition('; ')[0]}; its unit is begun again"
    now[0] += 300
    with pytest.raises(StoreAway, match=r"^s3://b does not answer"):
        answers._raised(pool, SimpleNamespace(unit=unit, call="call"), raised(StoreAway(SENTENCE)))


def test_a_shard_that_cannot_be_written_because_of_it_is_the_same_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    packing: Any = object.__new__(Packing)
    packing._idle = {}
    order = SimpleNamespace(shard=SimpleNamespace(shard=0), stage="ingest", attempts=1, packer="packer")
    packing._orders = {"call": order}

    def get(call: str) -> None:
        raise raised(StoreAway(SENTENCE))

    monkeypatch.setattr(ray, "get", get)
    with pytest.raises(StoreAway, match=r"^s3://b does not answer"):
        packing.finished("call")

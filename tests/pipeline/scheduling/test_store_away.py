"""A store that is away while a cluster works: no scene is to blame, and the job stops with a sentence at last."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray.exceptions import RayTaskError

from pipeline.scheduling import answers as module
from pipeline.scheduling.answers import Answers
from pipeline.scheduling.packer import Packing
from pipeline.scheduling.worker import SetupError, StageWorkerImpl
from pipeline.shards.unit import Unit
from schemas.cluster import Cluster
from schemas.errors import JobError, SpecError, StoreAway, StoreFull
from schemas.job import JobSpec
from stages.retrying import AWAY_S, FIRST_S

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


def test_a_worker_that_cannot_start_because_of_it_is_given_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as everything else waits; it is no set-up that failed, of which a few stop a job."""
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    said = list[str]()
    dropped: Any = []
    pool: Any = SimpleNamespace(
        kind=SimpleNamespace(name="extract"), drop=dropped.append, prepared=False, setup_failures=0, away_since=None
    )
    answers: Any = object.__new__(Answers)
    answers.event, answers.settings = lambda text, about: said.append(text), Cluster(max_setup_failures=1)
    found = SetupError(SENTENCE, "trace", final=False, patience_s=AWAY_S)

    def fails() -> None:
        began, now[0] = now[0], now[0] + 240
        answers._set_up(pool, SimpleNamespace(since=began), found)

    for _ in range(3):
        fails()
    assert len(dropped) == 3, "the pool starts another while its queue waits"
    assert pool.not_before > now[0], "and not at once, where an answer is refused at once"
    assert said[0] == f"no worker of extract can start: {SENTENCE.partition('; ')[0]}; trying again"
    answers._set_up(pool, SimpleNamespace(ready=False), None)
    for _ in range(3):
        fails()
    with pytest.raises(JobError, match=r"^s3://b does not answer"):
        fails()


@pytest.mark.parametrize(
    ("error", "prepare", "final", "patience_s"),
    [
        (StoreAway(SENTENCE), True, False, AWAY_S),
        (StoreAway(SENTENCE), False, False, AWAY_S),
        (SpecError("models.sam: download failed; check the URL"), True, True, 0),
        (ValueError("no such driver"), True, False, 0),
    ],
)
@pytest.mark.parametrize("network", [False, True])
def test_a_worker_says_how_long_its_set_up_may_fail_so(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    error: Exception,
    prepare: bool,
    final: bool,
    patience_s: float,
    network: bool,
) -> None:
    """A model that does not come over the network is no mistake in the spec, though the sentence is a SpecError's. Its
    address may be one until a worker has had it."""
    if network:
        error.__cause__ = ConnectionResetError("reset")
        final, patience_s = False, patience_s or (FIRST_S if prepare else AWAY_S)

    class Stage:
        def __init__(self, spec: Any, context: Any) -> None: ...

        def prepare(self) -> None: ...

        def setup(self) -> None:
            raise error

    monkeypatch.setattr("pipeline.scheduling.worker.load_stage", lambda factory: Stage)
    monkeypatch.setattr("pipeline.scheduling.worker.within_units", lambda: None)
    spec = JobSpec.model_validate({"source": {"uri": "in"}, "output": str(tmp_path)})
    found = StageWorkerImpl("stage", spec, str(tmp_path), None).setup(prepare)
    assert found is not None
    assert str(error) in found.message
    assert (found.final, found.patience_s) == (final, patience_s)


@pytest.mark.parametrize("error", [StoreAway, StoreFull])
def test_a_shard_that_cannot_be_written_because_of_it_is_the_same_sentence(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    packing: Any = object.__new__(Packing)
    packing._idle = {}
    order = SimpleNamespace(shard=SimpleNamespace(shard=0), stage="ingest", attempts=1, packer="packer")
    packing._orders = {"call": order}

    def get(call: str) -> None:
        raise raised(error(SENTENCE))

    monkeypatch.setattr(ray, "get", get)
    with pytest.raises(error, match=r"^s3://b does not answer"):
        packing.finished("call")


def test_a_full_disk_stops_the_job_and_blames_no_scene() -> None:
    answers: Any = object.__new__(Answers)
    worker: Any = SimpleNamespace(unit=Unit("ingest", 0, 0, ("a", "b"), {}), call="call")
    pool: Any = SimpleNamespace(queue=deque())
    with pytest.raises(StoreFull, match="^/out: no room is left there$"):
        answers._raised(pool, worker, raised(StoreFull("/out: no room is left there")))
    assert not pool.queue

"""What becomes of a unit whose call has ended, and of the worker that had it: who is to blame decides.

A node that is lost is nobody's fault; a process that fails scenes by what is not certainly theirs is replaced, since it
may be the culprit; a stage that cannot even start, or fails nearly every scene, stops the job (invariant 6).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError

from pipeline.scheduling.blame import Blame, Verdict
from pipeline.scheduling.cause import cause_of
from pipeline.scheduling.failure_rate import FailureRate
from pipeline.scheduling.loss import lost_with_its_node
from pipeline.scheduling.pool import Worker, WorkerPool
from pipeline.scheduling.worker import Outcome, SetupError
from pipeline.shards.parts import part_name
from pipeline.shards.unit import Unit
from pipeline.storage.folder import Storage
from pipeline.watching.watcher import About, Said, Tell
from schemas.cluster import Cluster
from schemas.errors import JobError, StoreAway, StoreFull
from stages.retrying import AWAY_S, LONGEST_PAUSE_S, UNIT_S


class Answers:
    """Judges what workers answer. event: told what happens to them. finish: told a unit, those of its scenes that have
    come to their end, and how many of them failed. warned: told stage, shard and warnings of a unit that has ended."""

    def __init__(
        self,
        settings: Cluster,
        storage: Storage,
        event: Tell,
        finish: Callable[[Unit, list[str], int], None],
        warned: Callable[[str, int, Sequence[Said]], None],
    ) -> None:
        self.settings, self.storage, self.event, self._finish, self._warned = settings, storage, event, finish, warned
        self.blame = Blame(storage, settings.max_attempts, event)
        self.rate = FailureRate(settings)
        self._doubted: dict[str, tuple[str, int]] = {}
        self._away_since: float | None = None

    def overdue(self, pool: WorkerPool) -> None:
        """Ends the workers that have run past the deadline."""
        for worker in pool.overdue():
            self._lost(
                pool,
                worker,
                "Timeout",
                f"no answer within cluster.{pool.kind.name}.deadline_s = "
                f"{pool.settings.deadline_s:g} s; the process was killed",
            )

    def packed(self, stage: str, shard: int) -> None:
        """A shard of a stage is committed, its failures too."""
        self._doubted = {name: of for name, of in self._doubted.items() if of != (stage, shard)}

    def forget_doubted(self) -> None:
        """Lets the next run try again what failed by no certain fault of its own and is not committed."""
        for name in self._doubted:
            self.storage.delete(name)

    def answered(self, pool: WorkerPool, worker: Worker) -> None:
        """A worker's call has ended: with its set-up, with a unit, or with the worker itself."""
        try:
            answer = ray.get(worker.call, timeout=60)
        except (RayActorError, GetTimeoutError) as error:
            if lost_with_its_node(error, worker.node) and self.blame.excused(worker.unit):
                self._node_lost(pool, worker)
            else:
                self._lost(pool, worker, "ProcessDied", f"the worker process died: {cause_of(error)}")
            return
        except RayTaskError as error:
            self._raised(pool, worker, error)
            return
        except RayError as error:
            self._lost(pool, worker, type(error).__name__, f"the worker process died: {cause_of(error)}")
            return
        worker.call = None
        if not worker.ready:
            self._set_up(pool, worker, answer)
            return
        unit, worker.unit = worker.unit, None
        assert unit is not None
        self._away_since = None
        self._collect(pool, worker, unit, answer)

    def _set_up(self, pool: WorkerPool, worker: Worker, error: SetupError | None) -> None:
        if error is None:
            worker.ready, pool.prepared, pool.setup_failures, pool.away_since = True, True, 0, None
            return
        pool.drop(worker)
        if error.patience_s:
            self._set_up_away(pool, worker.since, error)
            return
        if error.final:
            raise JobError(error.message)
        self._setup_failed(pool, error.message, error.trace)

    def _set_up_away(self, pool: WorkerPool, since: float, error: SetupError) -> None:
        """A store or the network has not answered a worker that was to start: another tries after a pause. Raises
        JobError where none has started for as long as the error says."""
        now = time.monotonic()
        pool.away_since = pool.away_since or since
        if now - pool.away_since >= error.patience_s:
            raise JobError(error.message)
        pool.not_before = now + LONGEST_PAUSE_S
        about = About(pool.kind.name, level="warning", retry="store")
        self.event(f"no worker of {pool.kind.name} can start: {error.message.partition('; ')[0]}; trying again", about)

    def _setup_failed(self, pool: WorkerPool, message: str, trace: str | None) -> None:
        """The circuit breaker: a stage that cannot start stops the job instead of failing every scene."""
        pool.setup_failures += 1
        about = About(pool.kind.name, level="warning", retry="setup")
        self.event(f"a worker of {pool.kind.name} did not start: {message}", about)
        if pool.setup_failures >= self.settings.max_setup_failures:
            raise JobError(
                f"workers of {pool.kind.name} failed to start {pool.setup_failures} times in a row: "
                f"{message}; nothing is lost, run the same command again when it is mended"
                + (f"\n{trace}" if trace else "")
            )

    def _collect(self, pool: WorkerPool, worker: Worker, unit: Unit, outcomes: list[Outcome]) -> None:
        if said := [one for outcome in outcomes for one in outcome.said]:
            self._warned(unit.stage, unit.shard, said)
        done = [outcome.scene_id for outcome in outcomes if outcome.retry is None]
        self._end(unit, done, sum(1 for outcome in outcomes if outcome.failed and outcome.retry is None))
        again = [outcome.retry for outcome in outcomes if outcome.retry is not None]
        for failure in again:
            if not failure.suspect:
                self._judge(pool, self.blame.alone(unit, failure))
        suspects = [failure for failure in again if failure.suspect]
        if suspects:
            self._replace(pool, worker, suspects[-1].error)
            self._judge(pool, self.blame.together(unit, suspects))

    def _raised(self, pool: WorkerPool, worker: Worker, error: RayTaskError) -> None:
        """The stage raised instead of answering: process and unit are both suspect."""
        unit, worker.unit, worker.call = worker.unit, None, None
        if unit is None:
            pool.drop(worker)
            self._setup_failed(pool, cause_of(error), None)
            return
        cause = error.cause
        if isinstance(cause, StoreAway):
            self._away(pool, unit, cause)
            return
        if isinstance(cause, StoreFull):  # of every scene's, and none is to fail for it
            raise StoreFull(*cause.args) from error
        self._replace(pool, worker, type(cause).__name__)
        self._suspects(pool, unit, type(cause).__name__, str(cause), str(error)[-8000:])

    def _away(self, pool: WorkerPool, unit: Unit, error: StoreAway) -> None:
        """A store has not answered a unit: nobody's fault here, so the unit is begun again. Raises StoreAway where no
        unit has got through for AWAY_S."""
        now = time.monotonic()
        self._away_since = self._away_since or now - UNIT_S
        if now - self._away_since >= AWAY_S:
            raise StoreAway(*error.args) from error
        about = About(unit.stage, shard=unit.shard, level="warning", retry="store")
        self.event(f"{unit.stage} waits: {str(error).partition('; ')[0]}; its unit is begun again", about)
        pool.queue.appendleft(replace(unit, begun=True))

    def _lost(self, pool: WorkerPool, worker: Worker, error: str, message: str) -> None:
        """A process died or hung."""
        unit = worker.unit
        pool.drop(worker)
        if unit is None:
            self._setup_failed(pool, message, None)
        else:
            self._suspects(pool, unit, error, message, None)

    def _replace(self, pool: WorkerPool, worker: Worker, error: str) -> None:
        pool.drop(worker)
        self.event(
            f"a worker of {pool.kind.name} met {error}, which may be the process's fault: another goes on",
            About(pool.kind.name, level="warning", retry="worker"),
        )

    def _node_lost(self, pool: WorkerPool, worker: Worker) -> None:
        pool.drop(worker)
        if worker.unit is not None:
            about = About(pool.kind.name, shard=worker.unit.shard, level="warning", retry="node")
            self.event(f"a node with a worker of {pool.kind.name} was lost; its unit goes to another", about)
            pool.queue.appendleft(replace(worker.unit, begun=True))

    def _suspects(self, pool: WorkerPool, unit: Unit, error: str, message: str, trace: str | None) -> None:
        self._judge(pool, self.blame.suspect(unit, error, message, trace))

    def _judge(self, pool: WorkerPool, verdict: Verdict) -> None:
        pool.queue.extendleft(reversed(verdict.again))
        if verdict.failed is not None:
            unit, failure = verdict.failed, verdict.failure
            assert failure is not None
            self._doubted[part_name(unit.stage, unit.shard, unit.round, failure.scene_id)] = (unit.stage, unit.shard)
            self._end(unit, [failure.scene_id], 1)
            self.rate.failed(unit.stage, failure, self.storage.url)

    def _end(self, unit: Unit, scene_ids: list[str], failed: int) -> None:
        self.rate.tried(unit.stage, len(scene_ids))
        self._finish(unit, scene_ids, failed)

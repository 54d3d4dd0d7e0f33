"""The workers of one stage: started as its queue and the nodes of the cluster ask for them, replaced when they die, let
go when others wait or there is nothing left for them."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError

from pipeline.scheduling.nodes import Node
from pipeline.scheduling.waiting import Wait, for_a_place
from pipeline.scheduling.worker import StageWorker
from pipeline.shards.unit import Unit
from pipeline.stage_kinds import StageKind
from pipeline.watching.watcher import About, Crew, InHand
from schemas.job import JobSpec

_ASK_S = 2.0
_ASK_EACH_S = 0.02
"""Between two questions to a worker how far it is, and for each of a stage's workers: a question is half a millisecond
of the driver, in which it gives no work to anybody."""


@dataclass
class Worker:
    """One actor: being set up (`ready` false), idle (no `call`), or on a unit. word: its stage's last on that; asked:
    the question for the next. node: where it lives; None before it has said so, in answer to `placed`. gpus: that it
    holds. room_since: when there was room for it, see `room.give_way`."""

    actor: Any
    call: Any
    gpus: float = 0.0
    placed: Any = None
    node: str | None = None
    ready: bool = False
    unit: Unit | None = None
    since: float = field(default_factory=time.monotonic)
    word: dict[str, Any] = field(default_factory=dict)
    asked: Any = None
    asked_at: float = 0.0
    room_since: float | None = None

    @property
    def idle(self) -> bool:
        return self.ready and self.call is None


class WorkerPool:
    """Queue and workers of one stage.

    One unit in flight per worker: a call costs about a millisecond against seconds to minutes of work. Ray gives the
    worker's math libraries as many threads as the actor has cores.

    calls: whose answers are due.
    """

    def __init__(self, kind: StageKind, spec: JobSpec, output: str, earlier: str | None, has_gpus: bool) -> None:
        self.kind, self.spec, self.output, self.earlier = kind, spec, output, earlier
        self.settings = kind.pool(spec)
        auto = kind.auto_gpus if has_gpus else 0.0
        self.gpus = auto if self.settings.gpus == "auto" else float(self.settings.gpus)
        self.nodes: Sequence[Node] = ()
        self.shut: Collection[str] = ()
        self.queue: deque[Unit] = deque()
        self.workers: list[Worker] = []
        self.calls: dict[Any, Worker] = {}
        self.prepared = False
        self.setup_failures = 0
        self.away_since: float | None = None  # since when no worker could start, as a store did not answer
        self.not_before = 0.0  # when the next may start after that

    def follow(self, nodes: Sequence[Node], shut: Collection[str] = ()) -> bool:
        """Takes in the cluster as it is now. nodes: those that take workers; shut: ids of those that take none any
        more. Lets go of workers that have no future; those that have a unit keep it for as long as their node lives.

        True where `gpus: auto` means a GPU from now on, the first having come only now. That is not taken back: a
        night's GPUs come and go, and what a CPU would take weeks for is not begun on one.
        """
        self.nodes, self.shut = nodes, shut
        auto = self.kind.auto_gpus if self.settings.gpus == "auto" else 0.0
        new = auto > self.gpus and any(node.total.get("GPU", 0.0) > 0 for node in nodes)
        if new:
            self.gpus = auto
        for worker in [worker for worker in self.workers if worker.unit is None and not self._lasts(worker)]:
            self.drop(worker)
        return new

    def _lasts(self, worker: Worker) -> bool:
        """Whether another unit may be given to a worker, once it is ready."""
        return worker.gpus == self.gpus and worker.node not in self.shut

    def limit(self) -> int:
        """How many workers the cluster carries, at least one (an autoscaling cluster may start with none)."""
        if self.settings.workers != "auto":
            return self.settings.workers
        return max(1, sum(node.carries(self.settings.cpus, self.gpus) for node in self.nodes))

    def unit_size(self, scenes: int) -> int:
        """Scenes of one call, for a job of so many: fewer than the kind's most where that keeps all workers busy."""
        most = self.kind.unit(self.spec)
        if not self.kind.even(self.spec):
            return most
        return max(1, min(most, -(-scenes // self.limit())))

    def grow(self) -> None:
        """Starts workers while units wait for one; the very first works alone until it has prepared the stage. Where
        there are more than units, those are called off that have no place yet: another stage's may have it."""
        lasting = [worker for worker in self.workers if self._lasts(worker)]
        waiting = len(self.queue) - sum(1 for worker in lasting if worker.unit is None)
        room = (self.limit() if self.prepared else 1) - len(lasting)
        for _ in range(min(waiting, room) if time.monotonic() >= self.not_before else 0):
            actor: Any = StageWorker.options(
                num_cpus=self.settings.cpus, num_gpus=self.gpus, max_restarts=0, max_task_retries=0, max_concurrency=2
            ).remote(self.kind.factory, self.spec, self.output, self.earlier)
            worker = Worker(actor, actor.setup.remote(not self.prepared), self.gpus, actor.node.remote())
            self.workers.append(worker)
            self.calls[worker.call] = worker
        for worker in self.homeless()[waiting:] if waiting < 0 else []:
            self.drop(worker)

    def homeless(self) -> list[Worker]:
        """Workers that are to start and have no place yet."""
        return [worker for worker in self.workers if not worker.ready and worker.node is None]

    def spare(self) -> list[Worker]:
        """Workers that have nothing to do, and for which nothing is queued."""
        return [] if self.queue else [worker for worker in self.workers if worker.idle]

    def dispatch(self) -> None:
        """Gives waiting units to idle workers."""
        for worker in self.workers:
            if not self.queue:
                return
            if worker.idle and self._lasts(worker):
                worker.unit = self.queue.popleft()
                worker.call = worker.actor.run.remote(worker.unit)
                self.calls[worker.call] = worker
                worker.since = time.monotonic()
                worker.word, worker.asked = {}, None  # an answer that is under way is of the unit before

    def listen(self) -> None:
        """Takes in how far busy workers say they are, and asks again. Waits for none: one may be deep in its work. All
        answers are looked for at once: a question to Ray for each was 3.5 % of the driver's time at 1,000 workers."""
        now = time.monotonic()
        pause = max(_ASK_S, len(self.workers) * _ASK_EACH_S)
        due = [call for worker in self.workers for call in (worker.placed, worker.asked) if call is not None]
        answered = set(ray.wait(due, num_returns=len(due), timeout=0)[0]) if due else set()
        for worker in self.workers:
            if worker.placed in answered:
                with contextlib.suppress(RayError):
                    worker.node = ray.get(worker.placed)
                    worker.since = now  # it begins to start
                worker.placed = None
            if worker.asked in answered:
                with contextlib.suppress(RayError):  # of a process that died its own call tells
                    worker.word = ray.get(worker.asked)
                worker.asked = None
            if worker.asked is None and worker.call is not None and now - worker.asked_at >= pause:
                worker.asked, worker.asked_at = worker.actor.progress.remote(), now

    def in_hand(self) -> list[InHand]:
        """What the workers are at that start or have a unit."""
        return [
            InHand(0 if worker.unit is None else len(worker.unit.scene_ids), worker.word)
            for worker in self.workers
            if worker.unit is not None or not worker.ready
        ]

    def crew(self) -> Crew:
        """How many workers there are, and what each holds of the cluster's GPUs."""
        busy = sum(1 for worker in self.workers if worker.unit is not None)
        starting = sum(1 for worker in self.workers if not worker.ready)
        return Crew(busy, starting, len(self.workers) - busy - starting, self.gpus)

    def overdue(self) -> list[Worker]:
        """Workers whose unit has run past the deadline, or whose set-up has, once they have a place to live."""
        now = time.monotonic()
        return [
            worker
            for worker in self.workers
            if (worker.unit is not None or (not worker.ready and worker.node is not None))
            and now - worker.since > self.settings.deadline_s
        ]

    def waits(self, ours: bool) -> Iterator[Wait]:
        """What its workers wait for before they can begin: a place, or the end of their set-up. A place that other
        workers of the job hold is not told: it is theirs by turns. ours: whether other workers of the job are
        there."""
        name, about = self.kind.name, About(self.kind.name, level="warning")
        for worker in self.workers:
            if worker.ready:
                continue
            if worker.node is None:
                text = for_a_place(name, self.settings.cpus, self.gpus, [node.total for node in self.nodes], ours)
                if text is not None:
                    yield Wait((name, "place"), worker.since, text, about)
            else:
                doing = worker.word.get("doing", "at what, it does not say")
                text = f"a worker of {name} has been starting for {{}}: {doing}"
                yield Wait((name, "set-up"), worker.since, text, about)
            return  # the others wait for the same

    def drop(self, worker: Worker) -> None:
        """Ends a worker's process and forgets it."""
        if worker in self.workers:
            self.workers.remove(worker)
        self.calls.pop(worker.call, None)
        with contextlib.suppress(Exception):
            ray.kill(worker.actor, no_restart=True)

    def close(self) -> None:
        for worker in list(self.workers):
            self.drop(worker)

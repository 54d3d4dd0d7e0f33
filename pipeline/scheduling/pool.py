"""The workers of one stage: started as its queue asks for them, replaced when they die, let go when others wait."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError

from pipeline.scheduling.waiting import Wait, for_a_place
from pipeline.scheduling.worker import StageWorker
from pipeline.shards.unit import Unit
from pipeline.stage_kinds import StageKind
from pipeline.watching.watcher import About, Crew, InHand
from schemas.job import JobSpec

_ASK_S = 2.0
"""Between two questions to a worker how far it is."""


@dataclass
class Worker:
    """One actor: being set up (`ready` false), idle (no `call`), or on a unit. word: its stage's last on that; asked:
    the question for the next. node: where it lives; None before it has said so, in answer to `placed`."""

    actor: Any
    call: Any
    placed: Any = None
    node: str | None = None
    ready: bool = False
    unit: Unit | None = None
    since: float = field(default_factory=time.monotonic)
    word: dict[str, Any] = field(default_factory=dict)
    asked: Any = None
    asked_at: float = 0.0

    @property
    def idle(self) -> bool:
        return self.ready and self.call is None


class WorkerPool:
    """Queue and workers of one stage.

    One unit in flight per worker: a call costs about a millisecond against seconds to minutes of work. Ray gives the
    worker's math libraries as many threads as the actor has cores.
    """

    def __init__(self, kind: StageKind, spec: JobSpec, output: str, earlier: str | None, has_gpus: bool) -> None:
        self.kind, self.spec, self.output, self.earlier = kind, spec, output, earlier
        self.settings = kind.pool(spec)
        auto = kind.auto_gpus if has_gpus else 0.0
        self.gpus = auto if self.settings.gpus == "auto" else float(self.settings.gpus)
        self.queue: deque[Unit] = deque()
        self.workers: list[Worker] = []
        self.prepared = False
        self.setup_failures = 0

    def limit(self, resources: dict[str, float]) -> int:
        """How many workers the cluster carries, at least one (an autoscaling cluster may start with none)."""
        if self.settings.workers != "auto":
            return self.settings.workers
        carried = [resources.get("CPU", 0.0) / self.settings.cpus] if self.settings.cpus else []
        if self.gpus:
            carried.append(resources.get("GPU", 0.0) / self.gpus)
        return max(1, int(min(carried, default=1.0)))

    def unit_size(self, scenes: int, resources: dict[str, float]) -> int:
        """Scenes of one call, for a job of so many: fewer than the kind's most where that keeps all workers busy."""
        most = self.kind.unit(self.spec)
        if not self.kind.even(self.spec):
            return most
        return max(1, min(most, -(-scenes // self.limit(resources))))

    def grow(self, resources: dict[str, float]) -> None:
        """Starts workers while units wait for one; the very first works alone until it has prepared the stage."""
        waiting = len(self.queue) - sum(1 for worker in self.workers if worker.unit is None)
        room = (self.limit(resources) if self.prepared else 1) - len(self.workers)
        for _ in range(min(waiting, room)):
            actor: Any = StageWorker.options(
                num_cpus=self.settings.cpus, num_gpus=self.gpus, max_restarts=0, max_task_retries=0, max_concurrency=2
            ).remote(self.kind.factory, self.spec, self.output, self.earlier)
            self.workers.append(Worker(actor, actor.setup.remote(not self.prepared), actor.node.remote()))

    def dispatch(self) -> None:
        """Gives waiting units to idle workers."""
        for worker in self.workers:
            if worker.idle and self.queue:
                worker.unit = self.queue.popleft()
                worker.call = worker.actor.run.remote(worker.unit)
                worker.since = time.monotonic()
                worker.word, worker.asked = {}, None  # an answer that is under way is of the unit before

    def listen(self) -> None:
        """Takes in how far busy workers say they are, and asks again. Waits for none: one may be deep in its work."""
        now = time.monotonic()
        for worker in self.workers:
            if worker.placed is not None and ray.wait([worker.placed], timeout=0)[0]:
                with contextlib.suppress(RayError):
                    worker.node = ray.get(worker.placed)
                    worker.since = now  # it begins to start
                worker.placed = None
            if worker.asked is not None and ray.wait([worker.asked], timeout=0)[0]:
                with contextlib.suppress(RayError):  # of a process that died its own call tells
                    worker.word = ray.get(worker.asked)
                worker.asked = None
            if worker.asked is None and worker.call is not None and now - worker.asked_at >= _ASK_S:
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

    def waits(self, nodes: Sequence[Mapping[str, float]], ours: bool) -> Iterator[Wait]:
        """What its workers wait for before they can begin: a place, or the end of their set-up. A place that other
        workers of the job hold is not told: it is theirs by turns. nodes: the resources of each that is alive; ours:
        whether other workers of the job are there."""
        name, about = self.kind.name, About(self.kind.name, level="warning")
        for worker in self.workers:
            if worker.ready:
                continue
            if worker.node is None:
                text = for_a_place(name, self.settings.cpus, self.gpus, nodes, ours)
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
        with contextlib.suppress(Exception):
            ray.kill(worker.actor, no_restart=True)

    def release_idle(self) -> None:
        """Lets go of workers that have nothing to do, so that another stage's can start."""
        if not self.queue:
            for worker in [worker for worker in self.workers if worker.idle]:
                self.drop(worker)

    def close(self) -> None:
        for worker in list(self.workers):
            self.drop(worker)

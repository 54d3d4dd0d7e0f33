"""A simulated job: the pipeline's own driver, scheduler and ledger, on a cluster, a store and a clock that stand in."""

from __future__ import annotations

import contextlib
import gc
import io
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from rich.console import Console

from benchmarks.scale_clock import Clock
from benchmarks.scale_ray import SimulatedRay
from benchmarks.scale_store import Parts, new_store
from benchmarks.scale_work import LightPacker, LightWorker, WholeWorker, Work, kinds, read_picture, source
from pipeline.commands import opening, planning
from pipeline.commands.opening import open_job
from pipeline.commands.run import JobResult, run_opened
from pipeline.commands.status import status_lines
from pipeline.scheduling import (
    answers,
    cluster,
    loss,
    nodes,
    packer,
    partings,
    pool,
    ray_meter,
    room,
    scheduler,
    waiting,
)
from pipeline.scheduling.packer import PackerImpl
from pipeline.shards import pack
from pipeline.stage_kinds import StageKind
from pipeline.storage import objects
from pipeline.storage.folder import Storage
from pipeline.watching import counts, metrics, progress, run_log, snapshot
from schemas.job import JobSpec

OUTPUT = "scale://job"
ON_THE_CLOCK = (
    *(scheduler, nodes, room, pool, answers, packer, partings, waiting, pack),
    *(counts, metrics, progress, run_log, snapshot),
)
ON_THE_CLUSTER = (scheduler, nodes, pool, answers, packer, partings, loss)


@dataclass
class Phase:
    """One thing that was measured. simulated_s: by the job's clock; here_s: by ours; driver_s: processor time of the
    driver; peak_mb: resident memory of this process at its highest, MB of 2**20 bytes."""

    name: str
    simulated_s: float
    here_s: float
    requests: Counter[tuple[str, str]]
    moved: Counter[tuple[str, str]]
    peak_mb: float
    driver_s: float


@dataclass
class Run:
    """A simulated job. whole: whether its workers are the pipeline's own."""

    scenes: int
    workers: int
    work: Work
    whole: bool = False
    phases: list[Phase] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clock = Clock()
        self.store = new_store(self.clock)
        self.ray = SimulatedRay(self.clock, cpus=4.0 * self.workers, gpus=float(self.workers))
        tree = {"source": {"uri": "scale://source"}, "output": OUTPUT, "evaluate": {"enabled": True}}
        self.spec = JobSpec.model_validate(tree | self.settings)
        self.census = source(self.scenes)
        self.ended: Counter[str] = Counter()
        self.stop_after: int | None = None

    @contextlib.contextmanager
    def simulated(self) -> Iterator[None]:
        """The pipeline inside sees the simulated clock, cluster, source and workers."""
        with ExitStack() as stack:
            for module in ON_THE_CLOCK:
                stack.enter_context(patch.object(module, "time", self.clock))
            for module in ON_THE_CLUSTER:
                stack.enter_context(patch.object(module, "ray", self.ray))
            stack.enter_context(patch.object(nodes, "_asked", lambda: (self.ray.free_by_node(), ())))
            stack.enter_context(patch.object(pool, "StageWorker", _Workers(self)))
            stack.enter_context(patch.object(packer, "Packer", _Packers(self)))
            stack.enter_context(patch.object(cluster, "connected", lambda settings: nullcontext()))
            stack.enter_context(patch.object(ray_meter, "RayMeter", _NoMeter))
            stack.enter_context(patch.object(opening, "take_census", lambda spec: self.census))
            stack.enter_context(patch.object(planning, "read_picked", read_picture))
            stack.enter_context(patch.object(objects, "begins_uploads", lambda fs, name: partial(Parts, self.store)))
            yield

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        gc.collect()
        _new_peak()
        began, here, worked = self.clock.monotonic(), time.perf_counter(), self.clock.worked_s
        requests, moved = Counter(self.store.requests), Counter(self.store.moved)
        yield
        self.phases.append(
            Phase(
                name,
                self.clock.monotonic() - began,
                time.perf_counter() - here,
                self.store.requests - requests,
                self.store.moved - moved,
                _peak_mb(),
                self.clock.worked_s - worked,
            )
        )

    def open_and_run(self, opening: str, work: str, stop_after: int | None = None) -> JobResult:
        """As `unscene run`, in two phases of these names; a Ctrl-C comes once so many scenes have their pictures."""
        self.stop_after = stop_after
        console = Console(file=io.StringIO(), width=120)
        self.ray.actors.clear()
        with ExitStack() as lease:
            with self.phase(opening):
                state = open_job(self.spec, kinds(), lease)
            with self.phase(work):
                return run_opened(state, console)

    def status(self, name: str) -> None:
        with self.phase(name):
            status_lines(Storage(OUTPUT))

    def note(self, stage: str, scenes: int) -> None:
        """A worker is through with some scenes."""
        self.ended[stage] += scenes
        if stage == "generate" and self.stop_after is not None and self.ended[stage] >= self.stop_after:
            self.stop_after = None
            signal.raise_signal(signal.SIGINT)


class _Workers:
    """Stands in for the class `StageWorker`, as `.options(...).remote(...)` asks for it."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._kinds: dict[str, StageKind] = {kind.factory: kind for kind in kinds()}
        self._asked: dict[str, Any] = {}

    def options(self, **asked: Any) -> _Workers:
        self._asked = asked
        return self

    def remote(self, factory: str, spec: JobSpec, output: str, earlier: str | None) -> Any:
        run, kind = self._run, self._kinds[factory]
        body = WholeWorker(kind, run.work, spec, output) if run.whole else LightWorker(kind, run.work)

        def noted(method: str, arguments: tuple[Any, ...]) -> tuple[Any, float]:
            answer = body(method, arguments)
            if method == "run":
                run.note(kind.name, len(arguments[0].scene_ids))
            return answer

        return run.ray.actor(noted, self._asked["num_cpus"], self._asked["num_gpus"], kind.name, own=run.whole)


class _Packers:
    """The same for `Packer`; its body is the pipeline's own."""

    def __init__(self, run: Run) -> None:
        self._run, LightPacker.work = run, run.work

    def options(self, **asked: Any) -> _Packers:
        return self

    def remote(self, output: str, epoch: int | None = None) -> Any:
        body = PackerImpl(output, epoch) if self._run.whole else LightPacker(output, epoch)
        return self._run.ray.actor(
            lambda method, arguments: (getattr(body, method)(*arguments), 0.0), 0.0, 0.0, "packer", own=True
        )


class _NoMeter:
    def add(self, name: str, value: float, labels: Any) -> None:
        pass

    put = add


def _new_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_mb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024

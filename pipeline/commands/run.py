"""`unscene run`: start a job, or go on with it. The same call does both."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from pipeline.commands.paths import anchored
from pipeline.ledger.commits import repair, rounds
from pipeline.ledger.lease import held
from pipeline.ledger.numbers import committed_counts
from pipeline.ledger.plan import Plan, copy_plan, extend_plan, hash_files
from pipeline.ledger.retries import retry_targets
from pipeline.ledger.rounds import Ledger
from pipeline.ledger.run_record import start_record
from pipeline.scheduling.shard_run import ShardRun
from pipeline.stage_kinds import StageKind, kinds_of
from pipeline.storage.folder import SHARED, Storage
from pipeline.watching.progress import Progress
from schemas.errors import SpecError
from schemas.job import JobSpec
from stages.models.base.layout import check_base


@dataclass(frozen=True)
class JobState:
    """An OUTPUT ready to be worked on: plan, ledger, and which shards are not settled."""

    spec: JobSpec
    storage: Storage
    kinds: list[StageKind]
    plan: Plan
    ledger: Ledger
    given: Ledger | None
    open_shards: list[int]


@dataclass(frozen=True)
class JobResult:
    """How a run ended. `complete`: every shard is settled."""

    complete: bool
    worked: bool
    counts: dict[str, tuple[int, int]]
    seconds: float


def open_job(spec: JobSpec, kinds: list[StageKind] | None = None, lease: ExitStack | None = None) -> JobState:
    """Checks everything that can be wrong before work starts, extends the plan, repairs what a crash left.

    lease: takes the OUTPUT's lease along, for as long as it is open; without it nothing may be run.
    Raises SpecError: no source, no permission, another driver at work, other settings
    than last time, a committed file that is gone.
    """
    spec = anchored(spec)
    if kinds is None:
        check_base(spec)
    kinds = kinds or kinds_of(spec)
    storage = Storage(spec.output)
    uris = [] if spec.source.handles else _pictures(spec)
    earlier = _earlier(spec)
    storage.check_writable()
    if lease is not None:
        lease.enter_context(held(storage))
    start_record(storage, spec)
    if earlier is not None:
        plan = copy_plan(storage, earlier)
    else:
        plan = extend_plan(
            storage,
            uris,
            spec.pack.scenes_per_shard,
            lambda new: hash_files(new, spec.source.storage_options, spec.ingest.max_bytes),
        )
    names = [kind.name for kind in kinds] + ["failures"]
    repair(storage, names)
    ledger = Ledger(storage, {name: rounds(storage, name) for name in names}, retry_targets(storage))
    given = None
    if earlier is not None:
        given = Ledger(earlier, {name: rounds(earlier, name) for name in ("ingest", "segment", "extract")}, {})
    left = [shard for shard in range(plan.shards) if not ShardRun(shard, kinds, plan, ledger, given).settled()]
    return JobState(spec, storage, kinds, plan, ledger, given, left)


def run_job(spec: JobSpec, console: Console, kinds: list[StageKind] | None = None) -> JobResult:
    """Runs a job to its end, or resumes it; safe to call again at any time.

    kinds: the stages, where they are not the usual ones (a test's faulty stage).
    """
    with ExitStack() as lease:
        return run_opened(open_job(spec, kinds, lease), console)


def run_opened(state: JobState, console: Console) -> JobResult:
    """Runs a job that `open_job` has opened with its lease."""
    started, spec = time.monotonic(), state.spec
    counts = committed_counts(state.storage, state.kinds)
    if not state.open_shards:
        return JobResult(True, False, counts, time.monotonic() - started)
    from pipeline.scheduling.cluster import connected
    from pipeline.scheduling.scheduler import Scheduler

    stopped = threading.Event()
    with connected(spec.cluster):
        progress = Progress([kind.name for kind in state.kinds], _scenes_expected(state), state.storage, console)
        for stage, (done, failed) in counts.items():
            progress.restore(stage, done, failed)
        with progress:
            scheduler = Scheduler(spec, state.kinds, state.storage, state.plan, state.ledger, state.given, progress)

            def stop() -> None:
                stopped.set()
                scheduler.stop()
                progress.event("stopping: writing what is whole (Ctrl-C again to leave at once)")

            with _interrupts(stop):
                scheduler.run()
    if not stopped.is_set():
        state.storage.delete_folder(f"{SHARED}/scratch")  # checkpoints of batches that were cut otherwise later
    return JobResult(
        not stopped.is_set(), True, committed_counts(state.storage, state.kinds), time.monotonic() - started
    )


def _scenes_expected(state: JobState) -> int:
    if state.given is None:
        return state.plan.scene_count()
    commits = (state.given.commit("extract", shard) for shard in range(state.plan.shards))
    return sum(len(record.done) for record in commits if record)


def _pictures(spec: JobSpec) -> list[str]:
    from stages.ingest.source.listing import list_pictures

    uris = sorted(list_pictures(spec.source))
    return uris[: spec.source.limit]


def _earlier(spec: JobSpec) -> Storage | None:
    if spec.source.handles is None:
        return None
    if spec.source.handles.rstrip("/") == spec.output.rstrip("/"):
        raise SpecError("output: source.handles is the same folder; give the new pictures an output of their own")
    earlier = Storage(spec.source.handles)
    if not rounds(earlier, "extract"):
        raise SpecError(
            f"source.handles: no handles under {spec.source.handles}; name the OUTPUT of a job that has extracted some"
        )
    return earlier


@contextmanager
def _interrupts(stop: Callable[[], None]) -> Iterator[None]:
    """First Ctrl-C or SIGTERM: `stop`. Second: leave at once; nothing committed is lost."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = False

    def handle(number: int, frame: Any) -> None:
        nonlocal asked
        if asked:
            os._exit(130)
        asked = True
        stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)

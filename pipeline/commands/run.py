"""`unscene run`: start a job, or go on with it. The same call does both."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from pipeline.commands.opening import JobState, open_job
from pipeline.ledger.numbers import committed_counts
from pipeline.ledger.rounds import FAILURES
from pipeline.lines import put
from pipeline.shards.given_account import account_given
from pipeline.shards.leftovers import sweep
from pipeline.shards.withdrawn_account import account_withdrawn
from pipeline.stage_kinds import EVALUATE, EXTRACT, GENERATE, StageKind, kinds_of
from pipeline.storage.folder import SHARED
from pipeline.watching.counts import JobCounts
from pipeline.watching.metrics import Metrics
from pipeline.watching.preparing import LOOKING, preparing
from pipeline.watching.progress import Progress
from pipeline.watching.run_log import RunLog
from pipeline.watching.snapshot import announce
from pipeline.watching.terminal import line
from pipeline.watching.watchers import Watchers
from schemas.errors import CommandError
from schemas.job import JobSpec
from schemas.secrets import masked


@dataclass(frozen=True)
class JobResult:
    """How a run ended. complete: every shard is settled, or has gone through `until`, the stage after which the run was
    to stop. counts: stage -> scenes with results and without, in all, of the stages up to there; made: the same of this
    run alone. stale: scenes that were left as they are though their file changed. log: what the run told, where it had
    anything to do."""

    complete: bool
    worked: bool
    counts: dict[str, tuple[int, int]]
    seconds: float
    stale: list[str] = field(default_factory=list)
    made: dict[str, tuple[int, int]] = field(default_factory=dict)
    until: str | None = None
    log: RunLog | None = None


def run_job(
    spec: JobSpec,
    console: Console,
    kinds: list[StageKind] | None = None,
    retry: bool = False,
    refresh: bool = False,
    until: str | None = None,
    command: str | None = None,
) -> JobResult:
    """Runs a job to its end, or resumes it; safe to call again at any time.

    kinds: the stages, where they are not the usual ones (a test's faulty stage). retry: failed scenes too. refresh:
    scenes too whose file changed since their results were made. until: the stage after which to stop; a later call
    goes on from there. command: what a person types to go on to the end, for `status` and the report to tell.
    Raises JobError, of `until` too where the job has no such stage.
    """
    first_stages(kinds or kinds_of(spec), until)  # before anything is opened
    with ExitStack() as lease:
        with preparing(console, LOOKING):
            state = open_job(spec, kinds, lease, retry, refresh)
        return run_opened(state, console, until, command)


def first_stages(kinds: list[StageKind], until: str | None) -> list[StageKind]:
    """The stages up to the one called `until`, which is among them; all where it is None. Raises CommandError."""
    names = [kind.name for kind in kinds]
    if until is None:
        return kinds
    if until not in names:
        off = "; scores are made with evaluate.enabled: true" if until == EVALUATE.name else ""
        raise CommandError(f"--until {until}: this job has no stage of that name; it has {', '.join(names)}{off}")
    return kinds[: names.index(until) + 1]


def run_opened(state: JobState, console: Console, until: str | None = None, command: str | None = None) -> JobResult:
    """Runs a job that `open_job` has opened with its lease, to its end or through the stage `until`. command: as of
    `run_job`."""
    started, spec = time.monotonic(), state.spec
    kinds = first_stages(state.kinds, until if state.open_shards else None)  # a finished job has nowhere to stop
    until = until if len(kinds) < len(state.kinds) else None
    counts = committed_counts(state.storage, kinds, state.ledger.committed)
    for remark in state.remarks:
        put(console, remark)
    if not _to_do(state, kinds):
        return JobResult(True, False, counts, time.monotonic() - started, state.stale, until=until)
    if GENERATE in kinds:
        given = spec.generate.mode == "place" and spec.generate.place.given
        with preparing(console, "looking at the pictures to draw in") if given else nullcontext():
            told = account_given(state.storage, spec)
        if told is not None:
            put(console, told)
            state.remarks.append(told)
    from pipeline.scheduling.cluster import connected, logs_folder
    from pipeline.scheduling.ray_meter import RayMeter
    from pipeline.scheduling.scheduler import Scheduler

    stopped = threading.Event()
    command = command and masked(command)
    announce(state.storage, "starting", command=command and command + (f" --until {until}" if until else ""))
    with RunLog(state.storage) as log, ExitStack() as session:
        with preparing(console, "starting Ray"):
            session.enter_context(connected(spec.cluster))
        for remark in state.remarks:
            log.say(remark)
        log.say(f"Ray keeps the logs of its workers on each machine, here under {logs_folder()}")
        names = [kind.name for kind in kinds]
        progress = Progress(names, _scenes_expected(state), state.storage, console, began=started)
        again = _to_be_made_again(state)
        for stage, (done, failed) in counts.items():
            progress.restore(stage, done - again[stage][0], failed - again[stage][1])
        log.line = lambda: line(progress.counts).partition("  ")[2]  # without its time
        metrics = Metrics(progress.counts, masked(state.storage.url), RayMeter())
        watcher = Watchers(progress, log, metrics)
        with progress, closing(metrics):
            scheduler = Scheduler(
                spec, kinds, state.storage, state.plan, state.ledger, state.given, watcher, state.lease
            )
            metrics.crews = scheduler.crews

            def stop() -> None:
                stopped.set()
                scheduler.stop()
                progress.stopping()
                watcher.event(stopping_line(spec, progress.counts))

            with _interrupts(stop):
                scheduler.run()
    if state.lease is not None:
        state.lease.check(now=True)
    sweep(state.storage, [*state.ledger.stages, FAILURES])
    state.ledger.committed.roll_up()
    account_withdrawn(state.storage)
    if not stopped.is_set() and until is None:
        state.storage.delete_folder(f"{SHARED}/scratch")  # checkpoints of batches that were cut otherwise later
    elif not stopped.is_set():
        announce(state.storage, "ended", command=command)  # typed with its --until once more, it would do nothing
    return JobResult(
        not stopped.is_set(),
        True,
        committed_counts(state.storage, kinds),
        time.monotonic() - started,
        state.stale,
        progress.made,
        until,
        log,
    )


def stopping_line(spec: JobSpec, counts: JobCounts) -> str:
    """What is kept and what is done again when a run is asked to end now."""
    text = "stopping: writing what is whole"
    if EXTRACT.name in counts.stages and counts.stages[EXTRACT.name].working:
        text += (
            "; a batch in training starts anew next time, as extract.checkpoint_every_s is null"
            if spec.extract.checkpoint_every_s is None
            else ", and the state of a batch in training"
        )
    return f"{text} (Ctrl-C again to leave at once)"


def _to_do(state: JobState, kinds: list[StageKind]) -> list[int]:
    """Shards that these stages have still to look at. A stage with nothing to make anew in a later round leaves no
    commit of it, so that its shard may be looked at in vain."""
    if len(kinds) == len(state.kinds):
        return state.open_shards
    ledger = state.ledger
    return [
        shard
        for shard in state.open_shards
        if any((found := ledger.round(kind.name, shard)) is None or found < ledger.target(shard) for kind in kinds)
    ]


def _to_be_made_again(state: JobState) -> dict[str, tuple[int, int]]:
    """Stage -> how many of the committed scenes, with results and without, this run has still to do."""
    found = {kind.name: (0, 0) for kind in state.kinds}
    for shard in state.open_shards:
        planned = set(state.plan.scenes(shard))
        for stage, (done, failed) in found.items():
            commit = state.ledger.commit(stage, shard)
            if commit is not None and commit.round < state.ledger.target(shard):
                over = state.ledger.again(stage, shard, commit.round) | (set(commit.done) - planned)
                found[stage] = (done + len(over.intersection(commit.done)), failed + len(commit.failures))
    return found


def _scenes_expected(state: JobState) -> int:
    if state.given is None:
        return state.plan.scene_count()
    return state.given.committed.counts("extract")[0]


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

"""`unscene evaluate`: prepare the scenes once, run a job a method, compare. The same command goes on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from rich.console import Console

from pipeline.commands.asked import check_asked
from pipeline.commands.closing import nothing_made
from pipeline.commands.opening import open_job
from pipeline.commands.paths import anchored
from pipeline.commands.run import JobResult, run_opened
from pipeline.ledger.lease import held
from pipeline.ledger.run_record import NAME
from pipeline.lines import put
from pipeline.protocol.adopt import adopt, hand_on
from pipeline.protocol.jobs import REPORT, SCENES, method_spec, scenes_spec
from pipeline.protocol.outcome import write_outcome
from pipeline.report.page import write_report
from pipeline.scheduling.cluster import connected
from pipeline.stage_kinds import EXTRACT, StageKind, kinds_of
from pipeline.storage.folder import Storage
from pipeline.storage.probe import check_writable
from pipeline.watching.preparing import LOOKING, preparing
from pipeline.wording import span
from schemas.errors import CommandError, OutputError, SpecError
from schemas.job import JobSpec
from stages.models.check import check_models


@dataclass
class Evaluation:
    """How an evaluation ended. complete: every job that was asked for is settled; lines: what to tell; seconds: by
    job; nothing: of each job that made nothing at all, why; counts: `JOB/STAGE` -> scenes with results and without;
    report: where the page is, if there is one; command: what a person types to go on with it."""

    complete: bool = True
    lines: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    nothing: list[str] = field(default_factory=list)
    counts: dict[str, tuple[int, int]] = field(default_factory=dict)
    report: str | None = None
    command: str | None = None


def evaluate(spec: JobSpec, console: Console, only: Sequence[str] = (), command: str | None = None) -> Evaluation:
    """Runs the methods of `spec.protocol`, or those named in `only`, and writes OUTPUT/protocol from all that have run.

    Raises JobError for what no job could start with, for an OUTPUT that holds a job, and for a name in `only` that
    the protocol does not have.
    """
    spec = anchored(spec)
    strange = [name for name in only if name not in spec.protocol.methods]
    if strange:
        raise CommandError(f"--only {strange[0]}: not in protocol.methods; it has {', '.join(spec.protocol.methods)}")
    jobs = {name: method_spec(spec, name) for name in spec.protocol.methods if not only or name in only}
    for job in jobs.values():
        shared_kinds(job)
        check_asked(job)
    storage = Storage(spec.output)
    if storage.exists(NAME):
        raise OutputError(f"output: {spec.output} holds a job of its own; give the evaluation another folder")
    for job in jobs.values():  # `open_job` is given their stages, and takes the models as checked
        check_models(job)
    check_writable(storage)
    found = Evaluation(command=command)
    with ExitStack() as session:
        ours = session.enter_context(held(storage))
        if _scenes(spec, console, session, found) and not found.nothing:
            for number, (name, job) in enumerate(jobs.items(), 1):
                ours.check(now=True)
                _say(console, f"{name} ({number} of {len(jobs)})")
                if not _method(job, name, storage, console, session, found):
                    break
        ours.check(now=True)
        found.lines += write_outcome(spec, storage)
        page = f"{REPORT}/index.html"
        found.report = storage.url_of(page) if storage.exists(page) else None
    return found


def _scenes(spec: JobSpec, console: Console, session: ExitStack, found: Evaluation) -> bool:
    job = scenes_spec(spec)
    _say(console, "scenes, once for all methods")
    return _work(job, shared_kinds(job), SCENES, console, session, found)


def _method(job: JobSpec, name: str, home: Storage, console: Console, session: ExitStack, found: Evaluation) -> bool:
    storage = Storage(job.output)
    adopt(storage, Storage(home.url_of(SCENES)), [kind.name for kind in shared_kinds(job)])
    hand_on(home, storage)
    if not _work(job, kinds_of(job), name, console, session, found):
        return False
    hand_on(storage, home)
    write_report(storage)
    return True


def _work(
    job: JobSpec, kinds: list[StageKind], name: str, console: Console, session: ExitStack, found: Evaluation
) -> bool:
    """Runs one job on the session's Ray, which starts with the first that has anything to do. False: interrupted."""
    started = time.monotonic()
    with ExitStack() as lease:
        with preparing(console, LOOKING):
            state = open_job(job, kinds, lease)
        if state.open_shards:
            with preparing(console, "starting Ray"):
                session.enter_context(connected(job.cluster))
        result: JobResult = run_opened(state, console, command=found.command)
    found.seconds[name] = time.monotonic() - started
    found.complete = found.complete and result.complete
    if result.complete and (why := nothing_made(state.storage, result)):
        found.nothing.append(why)
    found.counts |= {f"{name}/{stage}": count for stage, count in result.counts.items()}
    failed = sum(lost for _, lost in result.counts.values())
    if result.worked:
        _say(console, f"{name}: {span(result.seconds)}" + (f", {failed} scenes failed" if failed else ""))
    return result.complete


def shared_kinds(spec: JobSpec) -> list[StageKind]:
    """The stages before extraction: what they make is the same for every method."""
    kinds = kinds_of(spec)
    if EXTRACT not in kinds:
        raise SpecError("source.handles: an evaluation learns its own handles; give source.uri instead")
    return kinds[: kinds.index(EXTRACT)]


def _say(console: Console, line: str) -> None:
    put(console, line)

"""Opening an OUTPUT: everything that can be wrong is found before work starts."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field

from pipeline.commands.asked import check_asked
from pipeline.commands.paths import anchored
from pipeline.commands.planning import check_limit, plan_given, plan_source
from pipeline.commands.seedling import seedling_lines
from pipeline.ledger.commits import rounds
from pipeline.ledger.lease import Lease, held
from pipeline.ledger.plan import Plan
from pipeline.ledger.repair import repair
from pipeline.ledger.rounds import FAILURES, Ledger
from pipeline.ledger.run_record import start_record
from pipeline.shards.leftovers import cleared, sweep
from pipeline.stage_kinds import GENERATE, LEARNING, StageKind, kinds_of
from pipeline.storage.folder import Storage
from pipeline.storage.probe import check_writable
from pipeline.watching.snapshot import announce, said_to_have_ended, typed_before
from schemas.errors import Mistakes, SpecError
from schemas.job import JobSpec
from stages.ingest.census import take_census
from stages.ingest.receivers import receivers
from stages.ingest.source.listing import check_there
from stages.models.check import check_models
from stages.telling import tell


@dataclass(frozen=True)
class JobState:
    """An OUTPUT ready to be worked on: plan, ledger, and which shards are not settled. notes: what a person should know
    before the work starts, a line each. lease: held for as long as the stack that `open_job` was given is open."""

    spec: JobSpec
    storage: Storage
    kinds: list[StageKind]
    plan: Plan
    ledger: Ledger
    given: Ledger | None
    open_shards: list[int]
    remarks: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    lease: Lease | None = None


def open_job(
    spec: JobSpec,
    kinds: list[StageKind] | None = None,
    lease: ExitStack | None = None,
    retry: bool = False,
    refresh: bool = False,
) -> JobState:
    """Checks everything that can be wrong before work starts, brings the plan up to what the source holds now, repairs
    what a crash left.

    retry: scenes that failed are wanted once more. refresh: so are those whose file changed since their results were
    made, which are otherwise told of and left (`JobState.stale`). lease: takes the OUTPUT's lease along, for as long as
    it is open; without it nothing may be run.
    Raises JobError: no source, no permission, another driver at work, other settings
    than last time, a committed file that is gone.
    """
    spec = anchored(spec)
    if kinds is None:
        check_models_and_source(spec)
    kinds = kinds or kinds_of(spec)
    storage = Storage(spec.output)
    census = None if spec.source.handles else take_census(spec)
    earlier = _earlier(spec)
    tell("checking the prompts")
    notes = check_asked(spec) if GENERATE in kinds else []
    notes += seedling_lines(spec, census)
    check_writable(storage)
    names = [kind.name for kind in kinds]
    ours = None
    if lease is not None:
        ours = lease.enter_context(held(storage))
        tables = [*(kind.table for kind in kinds), FAILURES, "account"]
        lease.enter_context(cleared(storage, [*names, FAILURES], tables))
    if census is not None:
        check_limit(spec, census, storage, names)
    notes += start_record(storage, spec, names, typed_before(storage))
    ended = said_to_have_ended(storage)  # such an output stays as it is unless there is something to do
    if lease is not None and ended is None:
        announce(storage, "planning")
    given = Ledger(earlier, LEARNING) if earlier is not None else None
    if earlier is not None and given is not None:
        planned = plan_given(storage, earlier, names, given, retry)
    else:
        assert census is not None, "a job has one of the two"
        planned = plan_source(spec, census, storage, names, retry, refresh)
    tell("looking at what is there already")
    if ours is not None:
        ours.check()
    ledger, plan = planned.ledger, planned.plan
    repair(storage, [*names, FAILURES], ledger.committed)
    sweep(storage, [*names, FAILURES])
    if ours is not None:
        ledger.committed.roll_up()
    open_shards = ledger.unsettled(plan.shards)
    if lease is not None and (open_shards or ended is None or ended != planned.stale):
        announce(storage, "starting" if open_shards else "ended", stale=planned.stale)
    remarks = [*notes, *planned.remarks]
    return JobState(spec, storage, kinds, plan, ledger, given, open_shards, remarks, planned.stale, ours)


def check_models_and_source(spec: JobSpec) -> None:
    """Raises SpecError with all that can be told of what the spec names without listing a bucket."""
    mistakes = Mistakes()
    with mistakes.told_later():
        check_there(spec.source)
    with mistakes.told_later():
        if spec.generate.mode == "place" and spec.generate.place.given:
            receivers(spec)
    with mistakes.told_later():
        check_models(spec)
    mistakes.tell()


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

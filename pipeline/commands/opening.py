"""Opening an OUTPUT: everything that can be wrong is found before work starts."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from pipeline.commands.paths import anchored
from pipeline.ledger.commits import repair, rounds
from pipeline.ledger.lease import held
from pipeline.ledger.plan import Plan, copy_plan, extend_plan
from pipeline.ledger.rounds import FAILURES, Ledger
from pipeline.ledger.run_record import start_record
from pipeline.stage_kinds import LEARNING, StageKind, kinds_of
from pipeline.storage.folder import Storage
from pipeline.storage.probe import check_writable
from schemas.errors import SpecError
from schemas.job import JobSpec
from stages.ingest.source.hashing import hash_file
from stages.ingest.source.listing import list_pictures
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


def open_job(spec: JobSpec, kinds: list[StageKind] | None = None, lease: ExitStack | None = None) -> JobState:
    """Checks everything that can be wrong before work starts, extends the plan, repairs what a crash left.

    lease: takes the OUTPUT's lease along, for as long as it is open; without it nothing may be run.
    Raises JobError: no source, no permission, another driver at work, other settings
    than last time, a committed file that is gone.
    """
    spec = anchored(spec)
    if kinds is None:
        check_base(spec)
    kinds = kinds or kinds_of(spec)
    storage = Storage(spec.output)
    uris = [] if spec.source.handles else list_pictures(spec.source)
    earlier = _earlier(spec)
    check_writable(storage)
    if lease is not None:
        lease.enter_context(held(storage))
    names = [kind.name for kind in kinds]
    start_record(storage, spec, names)
    if earlier is not None:
        plan = copy_plan(storage, earlier)
    else:
        plan = extend_plan(
            storage,
            uris,
            spec.pack.scenes_per_shard,
            lambda uri: hash_file(uri, spec.source.storage_options, spec.ingest.max_bytes),
        )
    repair(storage, [*names, FAILURES])
    ledger = Ledger(storage, names)
    given = Ledger(earlier, LEARNING) if earlier is not None else None
    return JobState(spec, storage, kinds, plan, ledger, given, ledger.unsettled(plan.shards))


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

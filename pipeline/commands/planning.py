"""From the source as it is now to the plan: new files join it, changed ones are seen, the rest is accounted for."""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.ledger.changes import Change, find_changes, revision, with_results
from pipeline.ledger.plan import Plan, copy_plan, extend_plan, revise_plan
from pipeline.ledger.retries import failed_shards, request_round
from pipeline.ledger.rounds import Ledger
from pipeline.shards.account import SOURCE_ACCOUNT
from pipeline.shards.parts import work_folder
from pipeline.storage.folder import Storage
from pipeline.wording import counted
from schemas.job import JobSpec
from schemas.outcomes import AccountLine
from schemas.records import ACCOUNT
from stages.ingest.census import Census, Picked, Read, read_picked

_SHOWN = 5
_GIVEN = "_plan/handles.json"


@dataclass
class Planned:
    """remarks: what to say before work starts. stale: scenes whose file changed since their results were made."""

    plan: Plan
    remarks: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)


def plan_source(
    spec: JobSpec, census: Census, storage: Storage, stages: Sequence[str], retry: bool, refresh: bool
) -> Planned:
    """Writes the plan and the account of what is in no shard, and asks for the rounds that failed and changed scenes
    need.

    census: of the source, as it is now. retry: scenes that failed are wanted once more. refresh: so are those with
    results of an older file.
    """
    read = functools.partial(read_picked, spec=spec)
    known = extend_plan(storage, census.pictures, spec.pack.scenes_per_shard, read)
    planned = Planned(known, list(census.remarks))
    write_source_account(storage, census.lines)
    if retry and (shards := failed_shards(storage)):
        request_round(storage, shards)
    _follow_changes(planned, storage, Ledger(storage, stages), census.pictures, read, refresh)
    return planned


def plan_given(storage: Storage, earlier: Storage, stages: Sequence[str], given: Ledger, retry: bool) -> Planned:
    """The plan of an earlier OUTPUT, whose handles may have been learned anew since their pictures were made here."""
    planned = Planned(copy_plan(storage, earlier))
    if retry and (shards := failed_shards(storage)):
        request_round(storage, shards)
    now = {str(shard): round_ for shard, round_ in given.rounds["extract"].items()}
    before: dict[str, int] = json.loads(storage.read(_GIVEN)) if storage.exists(_GIVEN) else {}
    settled = Ledger(storage, stages).rounds[stages[0]]
    changed = {int(shard): before[shard] for shard in now if before.get(shard, now[shard]) != now[shard]}
    again = {shard: sorted(given.again(shard, since)) for shard, since in changed.items() if shard in settled}
    if again:
        request_round(storage, list(again), again)
        planned.remarks.append(
            f"handles of {counted(len(again), 'shard')} were learned anew in {earlier.url}; their pictures follow"
        )
    storage.write(_GIVEN, json.dumps(now).encode())
    return planned


def write_source_account(storage: Storage, lines: Sequence[AccountLine]) -> None:
    """Replaces the part of the account that belongs to no shard, where it has changed."""
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([line.row() for line in lines], schema=ACCOUNT), buffer, compression="zstd")
    if not storage.exists(SOURCE_ACCOUNT) or storage.read(SOURCE_ACCOUNT) != buffer.getvalue():
        storage.write(SOURCE_ACCOUNT, buffer.getvalue())


def _follow_changes(
    planned: Planned,
    storage: Storage,
    ledger: Ledger,
    pictures: Sequence[Picked],
    read: functools.partial[Read],
    refresh: bool,
) -> None:
    taken: list[Change] = []
    stale: list[Change] = []
    for change, has_results in with_results(find_changes(planned.plan, pictures, read), ledger):
        (stale if change.what and not refresh and has_results else taken).append(change)
    planned.stale = [_said(change) for change in stale]
    if stale:
        planned.remarks.append(
            f"changed since their results were made, and left as they are: {_some(planned.stale, 'scene')}"
        )
    made = revision(planned.plan, taken)
    if not made.rows:
        return
    for stage in ledger.stages:
        for shard in made.shards:  # parts of what is no longer wanted
            storage.delete_folder(work_folder(stage, shard, ledger.target(shard)))
    planned.plan = revise_plan(storage, made.rows)
    if made.shards:
        request_round(storage, sorted(made.shards), made.again)
        changed = [_said(change) for change in taken if change.what]
        planned.remarks.append(f"changed since the plan, to be made anew: {_some(changed, 'scene')}")


def _said(change: Change) -> str:
    return f"{change.row['uri']}: its {change.what} changed"


def _some(said: Sequence[str], thing: str) -> str:
    return f"{counted(len(said), thing)}: {'; '.join(said[:_SHOWN])}" + (" ..." if len(said) > _SHOWN else "")

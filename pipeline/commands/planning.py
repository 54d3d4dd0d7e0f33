"""From the source as it is now to the plan: new files join it, changed ones are seen, the rest is accounted for."""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pipeline.ledger.changes import Change, Revision, find_changes, find_gone, not_as_planned, revision, with_results
from pipeline.ledger.damaged import readable
from pipeline.ledger.moves import find_moves
from pipeline.ledger.plan import Plan, copy_plan, extend_plan, read_plan, revise_plan
from pipeline.ledger.retries import failed_shards, lost_scenes, request_round
from pipeline.ledger.rounds import FAILURES, Ledger
from pipeline.ledger.withdrawals import withdrawn_scenes
from pipeline.shards.account import SOURCE_ACCOUNT
from pipeline.shards.parts import work_folder
from pipeline.shards.tables import write_table
from pipeline.storage.folder import SHARED, Storage
from pipeline.wording import counted
from schemas.errors import SpecError
from schemas.job import JobSpec
from schemas.outcomes import AccountLine
from stages.ingest.census import Census, Picked, Read, read_picked

_SHOWN = 5
_GIVEN = "_plan/handles.json"


@dataclass
class Planned:
    """ledger: with the rounds that were asked for. remarks: what to say before work starts. stale: scenes whose file
    changed since their results were made."""

    plan: Plan
    ledger: Ledger
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
    plan, ledger = extend_plan(storage, census.pictures, spec.pack.scenes_per_shard, read), Ledger(storage, stages)
    planned = Planned(plan, ledger, list(census.remarks))
    if retry:
        _ask_again(planned, storage, ledger, withdrawn_scenes(storage))
    stale = _follow_moves(planned, storage, ledger, census, refresh)
    stale += _follow_changes(planned, storage, ledger, census.pictures, read, refresh)
    planned.stale = [_said(change) for change in stale]
    if stale:
        planned.remarks.append(
            f"changed since their results were made, and left as they are: {_some(planned.stale, 'scene')}"
        )
    gone = list(find_gone(planned.plan, census.pictures, census.beyond))
    if gone:
        uris = [change.row["uri"] for change in gone]
        planned.remarks.append(f"no longer there; what was made of them stays: {_some(uris, 'file')}")
    _write(planned, storage, ledger, revision(planned.plan, gone))
    write_source_account(storage, _untold(census, planned.plan, stale))
    ledger.look_for_requests()
    return planned


def check_limit(spec: JobSpec, census: Census, storage: Storage, stages: Sequence[str]) -> None:
    """Raises SpecError where the OUTPUT has work left on pictures that `source.limit` keeps out: an earlier run, with
    another limit, has planned them, and a plan is only extended."""
    if not census.beyond:
        return
    plan = read_plan(storage)
    planned = set(plan.table.column("uri").to_pylist()).intersection(census.beyond)
    if not planned:
        return
    ledger = Ledger(storage, stages)
    rows = (row for shard in ledger.unsettled(plan.shards) for row in plan.rows(shard))
    more = sum(row["uri"] in planned and row["duplicate_of"] is None for row in rows)
    if more:
        raise SpecError(
            f"source.limit: {spec.source.limit}: {storage.url} has planned {counted(more, 'picture')} beyond it "
            "already and not finished, which this run would make too; leave the limit out or raise it, or give the few "
            "an output of their own: --set output=..."
        )


def _untold(census: Census, plan: Plan, stale: Sequence[Change]) -> list[AccountLine]:
    """The lines of the census but for what the shards tell already, and the masks of stale scenes that they do not."""
    names = {line.annotation or line.uri for line in census.lines}
    names |= {name for change in stale for name in change.content["masks"]}
    told = plan.names_among(names)
    lines = [line for line in census.lines if (line.annotation or line.uri) not in told]
    for change in stale:
        for name in change.content["masks"]:
            if name not in told:
                told.add(name)
                noted = change.content["entry"] is not None
                lines.append(
                    AccountLine(
                        "annotation" if noted else "file",
                        str(census.annotations) if noted else name,
                        "mask",
                        "its scene is stale",
                        "unscene run with --refresh makes the scene with it",
                        name if noted else None,
                        change.row["scene_id"],
                    )
                )
    return lines


def _ask_again(planned: Planned, storage: Storage, ledger: Ledger, withdrawn: frozenset[str]) -> None:
    """Wants the shards once more in which a scene failed, but for those that are withdrawn. A new round begins anew
    what is in hand of a shard, so one with work in hand is left to this run. What is not tried again is told."""
    lost = lost_scenes(ledger.committed, withdrawn)
    if out := sum(scenes.out for scenes in lost.values()):
        planned.remarks.append(
            f"failed and withdrawn, and not tried again: {counted(out, 'scene')}; `unscene withdraw --undo` takes a "
            "mark back"
        )
    shards = set(failed_shards(ledger.committed, lost))
    halfway = {
        shard: scenes.wanted
        for shard, scenes in lost.items()
        if scenes.wanted and ledger.round(FAILURES, shard) is None
    }
    training = bool(storage.names(f"{SHARED}/scratch"))
    for shard, failed in sorted(halfway.items()):
        if training or any(storage.names(work_folder(stage, shard, ledger.target(shard))) for stage in ledger.stages):
            planned.remarks.append(
                f"shard {shard:06d} is half made: its {counted(failed, 'failed scene')} can be tried again once it is "
                "through"
            )
        else:
            shards.add(shard)
    if shards:
        request_round(storage, sorted(shards))
        ledger.look_for_requests()


def plan_given(storage: Storage, earlier: Storage, stages: Sequence[str], given: Ledger, retry: bool) -> Planned:
    """The plan of an earlier OUTPUT, whose handles may have been learned anew since their pictures were made here."""
    ledger = Ledger(storage, stages)
    planned = Planned(copy_plan(storage, earlier), ledger)
    if retry:
        _ask_again(planned, storage, ledger, withdrawn_scenes(storage) | withdrawn_scenes(earlier))
    now = {str(shard): round_ for shard, round_ in given.rounds["extract"].items()}
    before: dict[str, int] = {}
    if storage.exists(_GIVEN):
        data = storage.read(_GIVEN)
        with readable(storage, _GIVEN, "delete it: handles that were learned anew since are not seen then"):
            before = dict(json.loads(data))
    settled = ledger.rounds[stages[0]]
    changed = {int(shard): before[shard] for shard in now if before.get(shard, now[shard]) != now[shard]}
    for shard in changed:  # parts of what the older handles drew
        if shard not in settled:
            for stage in stages:
                storage.delete_folder(work_folder(stage, shard, 0))
    again = {
        shard: sorted(given.again("extract", shard, since)) for shard, since in changed.items() if shard in settled
    }
    if again:
        request_round(storage, list(again), again)
        ledger.look_for_requests()
        planned.remarks.append(
            f"handles of {counted(len(again), 'shard')} were learned anew in {earlier.url}; their pictures follow"
        )
    storage.write(_GIVEN, json.dumps(now).encode())
    return planned


def write_source_account(storage: Storage, lines: Sequence[AccountLine]) -> None:
    """Replaces the part of the account that belongs to no shard, where it has changed."""
    buffer = io.BytesIO()
    write_table(buffer, "account", [line.row() for line in lines])
    if not storage.exists(SOURCE_ACCOUNT) or storage.read(SOURCE_ACCOUNT) != buffer.getvalue():
        storage.write(SOURCE_ACCOUNT, buffer.getvalue())


def _follow_moves(planned: Planned, storage: Storage, ledger: Ledger, census: Census, refresh: bool) -> list[Change]:
    """Files that took the place of others with the same bytes. Returns changes that are left as they are."""
    moves = {move.change.row["scene_id"]: move for move in find_moves(planned.plan, census.pictures, census.beyond)}
    stale: list[Change] = []
    made = Revision()
    for change, has_results in with_results([move.change for move in moves.values()], ledger):
        if change.deep and has_results and not refresh:
            stale.append(change)
            continue
        rows = moves[change.row["scene_id"]].rows()
        made.rows += rows
        made.shards.update(row["shard"] for row in rows)
        (made.again if change.deep else made.reread)[change.row["shard"]].append(change.row["scene_id"])
    if made.rows:
        planned.remarks.append(f"by another file of the same bytes now: {counted(len(moves) - len(stale), 'scene')}")
    _write(planned, storage, ledger, made)
    return stale


def _follow_changes(
    planned: Planned,
    storage: Storage,
    ledger: Ledger,
    pictures: Iterable[Picked],
    read: functools.partial[Read],
    refresh: bool,
) -> list[Change]:
    """Files that changed under their address. Returns changes that are left as they are."""
    taken: list[Change] = []
    stale: list[Change] = []
    doubted = not_as_planned(ledger)
    for change, has_results in with_results(find_changes(planned.plan, pictures, read, doubted), ledger):
        (stale if change.deep and has_results and not refresh else taken).append(change)
    deep = [_said(change) for change in taken if change.deep]
    if deep:
        planned.remarks.append(f"changed since the plan, to be made anew: {_some(deep, 'scene')}")
    _write(planned, storage, ledger, revision(planned.plan, taken))
    return stale


def _write(planned: Planned, storage: Storage, ledger: Ledger, made: Revision) -> None:
    """The rounds first: asked for and then interrupted they are asked for again, while a plan that was written anew
    shows no change any more."""
    if not made.rows and not made.shards:
        return
    for stage in ledger.stages:
        for shard in made.shards:  # parts of what is no longer wanted
            storage.delete_folder(work_folder(stage, shard, ledger.target(shard)))
    if made.shards:
        request_round(storage, sorted(made.shards), made.again, made.reread, revised=True)
    if made.rows:
        planned.plan = revise_plan(storage, made.rows)


def _said(change: Change) -> str:
    return f"{change.row['uri']}: its {change.what} changed"


def _some(said: Sequence[str], thing: str) -> str:
    return f"{counted(len(said), thing)}: {'; '.join(said[:_SHOWN])}" + (" ..." if len(said) > _SHOWN else "")

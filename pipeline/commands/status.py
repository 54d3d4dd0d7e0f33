"""`unscene status`: what an OUTPUT holds and how far its job is, told from storage alone."""

from __future__ import annotations

import time
from typing import Any

from pipeline.ledger.commits import commits_of
from pipeline.ledger.numbers import committed_counts
from pipeline.ledger.plan import read_plan
from pipeline.ledger.rounds import Ledger
from pipeline.ledger.run_record import read_record, recorded_spec, recorded_stages
from pipeline.shards.quality import quality_lines
from pipeline.shards.scores import score_numbers
from pipeline.stage_kinds import kinds_of
from pipeline.storage.folder import Storage
from pipeline.watching.snapshot import is_fresh, pace, read_snapshot
from pipeline.wording import counted, span

_SHOWN = 10


def status_lines(storage: Storage) -> list[str]:
    """The job's progress, failures and ETA. Raises OutputError if there is no job."""
    spec, record = recorded_spec(storage), read_record(storage)
    stages = recorded_stages(record, spec)
    kinds = [kind for kind in kinds_of(spec) if kind.name in stages]
    plan, ledger = read_plan(storage), Ledger(storage, stages)
    counts = committed_counts(storage, kinds)
    of = f"{counted(len(plan), 'file')} in {counted(plan.shards, 'shard')}"
    lines = [f"{storage.url}: {counted(plan.scene_count(), 'scene')} of {of}"]
    live = read_snapshot(storage)
    for kind in kinds:
        done, failed = counts[kind.name]
        committed = len(ledger.rounds[kind.name])
        lines.append(
            f"  {kind.name:<9} {done} done, {failed} failed, {committed} of {plan.shards} shards"
            + pace(live, kind.name)
        )
    left = ledger.unsettled(plan.shards)
    if not left:
        trained = counts.get("extract", (0, 0))[0] > 0
        lines += ["finished", *quality_lines(score_numbers(storage), spec, trained)]
    elif is_fresh(live):
        lines.append(f"running: {len(left)} shards to go")
    else:
        last = f" (last heard of {span(time.time() - live['at'])} ago)" if live else ""
        lines.append(f"not running{last}: {len(left)} shards to go; `unscene run` with its spec goes on")
    return lines + failure_lines(storage, [kind.name for kind in kinds])


def failure_lines(storage: Storage, stages: list[str]) -> list[str]:
    """Up to ten failures with their reasons, and how many more there are."""
    rows: list[dict[str, Any]] = []
    total = 0
    for stage in stages:
        for record in commits_of(storage, stage):
            total += len(record.failures)
            rows.extend(record.failures[: max(0, _SHOWN - len(rows))])
    lines = [f"{total} failed:"] if total else []
    lines += [f"  {row['stage']} {row['uri'] or row['scene_id']}: {row['message'].splitlines()[0]}" for row in rows]
    if total > len(rows):
        lines.append(f"  ... and {total - len(rows)} more in {storage.url_of('failures')}")
    return lines

"""`unscene status`: what an OUTPUT holds and how far its job is, told from storage alone."""

from __future__ import annotations

import shlex
import socket
import time
from typing import Any

from pipeline.ledger.committed import Committed
from pipeline.ledger.lease import at_work
from pipeline.ledger.numbers import committed_counts
from pipeline.ledger.plan import read_plan
from pipeline.ledger.rounds import Ledger
from pipeline.ledger.run_record import NAME, read_record, recorded_spec, recorded_stages
from pipeline.ledger.withdrawals import withdrawn_scenes
from pipeline.shards.parts import left_in_parts
from pipeline.shards.quality import quality_lines
from pipeline.shards.scores import score_numbers
from pipeline.stage_kinds import kinds_of
from pipeline.storage.folder import Storage
from pipeline.watching.snapshot import command_of, in_hand, is_fresh, read_snapshot, stale_line
from pipeline.watching.terminal import job_text
from pipeline.wording import counted, first_line, span, within

_SHOWN = 10


def status_lines(storage: Storage) -> list[str]:
    """The job's progress, failures, and when it will end. Raises OutputError if there is no job."""
    driver = at_work(storage)
    if driver is not None and not storage.exists(NAME):
        return [f"{storage.url}: a run has just begun ({_who(driver)}) and looks at the models and the source"]
    spec, record = recorded_spec(storage), read_record(storage)
    stages = recorded_stages(record, spec)
    kinds = [kind for kind in kinds_of(spec) if kind.name in stages]
    plan, ledger = read_plan(storage), Ledger(storage, stages)
    counts = committed_counts(storage, kinds, ledger.committed)
    of = f"{counted(len(plan), 'file')} in {counted(plan.shards, 'shard')}"
    lines = [f"{storage.url}: {counted(plan.scene_count(), 'scene')} of {of}"]
    live, left = read_snapshot(storage), len(ledger.unsettled(plan.shards))
    for kind in kinds:
        done, failed = counts[kind.name]
        committed = len(ledger.rounds[kind.name])
        lines.append(
            f"  {kind.name:<9} {done} done, {failed} failed, {committed} of {plan.shards} shards"
            + (in_hand(live, kind.name, done) if driver else _kept(ledger, kind.name, done) if left else "")
        )
    state = state_line(driver, live, left, planned=len(plan) > 0)
    lines.append(state)
    if state == "finished":
        trained = counts.get("extract", (0, 0))[0] > 0 or bool(spec.source.handles)
        lines += quality_lines(storage, score_numbers(storage, ledger.committed), spec, trained)
    if marked := withdrawn_scenes(storage):
        of = "it" if len(marked) == 1 else "them"
        lines.append(f"{counted(len(marked), 'scene')} withdrawn: nothing more is made of {of}")
    if live and live.get("stale"):
        found = [within(text, spec.source.uri) for text in live["stale"]]
        lines.append(stale_line(found, f"unscene retry {shlex.quote(storage.url)}"))
    return lines + failure_lines(storage, [kind.name for kind in kinds], ledger.committed)


def state_line(driver: dict[str, Any] | None, live: dict[str, Any] | None, left: int, planned: bool) -> str:
    """Whether a run is at work and what is left to do. left: shards; planned: whether there is a plan yet."""
    to_go = f"{counted(left, 'shard')} to go" if planned else "no plan yet"
    if driver is None:
        if planned and not left:
            return "finished"
        last = f" (last heard of {span(time.time() - live['at'])} ago)" if live else ""
        return f"not running{last}: {to_go}; `{command_of(live)}` goes on"
    state = (live or {}).get("state", "planning")
    own = live is not None and (live.get("pid"), live.get("host")) == (driver["pid"], driver.get("host"))
    if state == "ended" and own and left:
        return f"stopping, what is whole is written: {to_go} ({_who(driver)})"
    begun_anew = state == "ended" and (left > 0 or not is_fresh(live))  # the last run's word; this one has said none
    if state == "planning" or live is None or begun_anew:
        return f"running: it reads the source and plans ({_who(driver)})"
    if state == "starting" or "job" not in live:
        return f"running: {to_go}; Ray and the models are starting ({_who(driver)})"
    if not left:
        return f"running: every shard is written; it comes to its end ({_who(driver)})"
    job, since = live["job"], max(0.0, time.time() - live["at"])
    left_s = None if job["left_s"] is None else max(0.0, job["left_s"] - since)
    text = job_text(job["elapsed_s"] + since, job["share"], left_s, job["unmeasured"])
    what = "stopping, writing what is whole" if state == "stopping" else "running"
    return f"{what}: {to_go}; {text}" + ("" if driver["host"] == socket.gethostname() else f" ({_who(driver)})")


def _kept(ledger: Ledger, stage: str, done: int) -> str:
    more = left_in_parts(ledger.storage, stage, ledger.rounds[stage])
    return f" ({done + more} with those not yet packed)" if more else ""


def _who(driver: dict[str, Any]) -> str:
    return f"process {driver['pid']} on {driver['host']}"


def failure_lines(storage: Storage, stages: list[str], committed: Committed) -> list[str]:
    """Up to ten failures with their reasons, and how many more there are."""
    rows: list[dict[str, Any]] = []
    total = 0
    for stage in stages:
        total += committed.counts(stage)[1]
        rows += committed.failures(stage, _SHOWN - len(rows))
    source = recorded_spec(storage).source.uri
    lines = [f"{total} failed" + (f", of the files under {source}:" if source else ":")] if total else []
    lines += [f"  {within(_failure(row), source)}" for row in rows]
    if total > len(rows):
        lines.append(f"  ... and {total - len(rows)} more in {storage.url_of('failures')}")
    return lines


def _failure(row: dict[str, Any]) -> str:
    tried = f" (tried {row['attempt']} times)" if row["attempt"] > 1 else ""
    return f"{row['stage']} {row['uri'] or row['scene_id']}: {first_line(row['message'], row['error'])}{tried}"

"""`_progress.json`: what a run leaves on storage of how far it is, for `unscene status` on any machine.

It tells how far; whether a run is still at work the lease tells (`pipeline.ledger.lease`), which ends with the run.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pipeline.storage.folder import Storage
from pipeline.watching.counts import JobCounts
from schemas.outcomes import as_told

NAME = "_progress.json"
STALE_S = 60.0
"""What a snapshot says of the work in hand is no longer so after a minute."""

_AT_WORK = ("running", "stopping")
"""In any other state the stages are as an earlier run left them, which may have been killed at its work."""


def write_snapshot(storage: Storage, counts: JobCounts, state: str = "running") -> None:
    """Replaces the last one but for what is told of stale scenes. Never raises: progress must not stop a job."""
    stages = {stage.name: asdict(stage) for stage in counts.states()}
    announce(storage, state, scenes=counts.scenes, stages=stages, job=asdict(counts.job()))


def announce(storage: Storage, state: str, **more: Any) -> None:
    """Says what a run is at, beside what is known of the job already: `planning`, `starting`, `running`, `stopping`,
    `ended`. Never raises."""
    try:
        who = {"pid": os.getpid(), "host": socket.gethostname()}
        found = (read_snapshot(storage) or {}) | more | {"at": time.time(), "state": state} | who
        storage.write(NAME, json.dumps(found, indent=1).encode())
    except Exception as error:
        print(as_told(f"could not write {NAME}: {error}"), file=sys.stderr)


def read_snapshot(storage: Storage) -> dict[str, Any] | None:
    """The last one, or None: `at` (seconds since 1970), `state`, `scenes`, for each of `stages` what `StageState` has,
    `job` as `Outlook`, `stale`: the scenes that the last run left as they are though their file has changed,
    `command`: see `command_of`; `pid`, `host`: whose word it is."""
    try:
        found: dict[str, Any] = json.loads(storage.read(NAME))
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def said_to_have_ended(storage: Storage) -> list[str] | None:
    """The stale scenes that the last run told of, where it said that it has ended; else None."""
    found = read_snapshot(storage)
    return list(found.get("stale") or []) if found and found.get("state") == "ended" else None


def command_of(snapshot: dict[str, Any] | None) -> str:
    """The command that goes on with the job, as the last run's was typed, but for what is secret."""
    return _typed(snapshot) or "unscene run SPEC"


def typed_before(storage: Storage) -> str | None:
    """The command of the last run here, where that is known."""
    return _typed(read_snapshot(storage))


def _typed(snapshot: dict[str, Any] | None) -> str | None:
    told = (snapshot or {}).get("command")
    return told if isinstance(told, str) and told else None


def measured(snapshot: dict[str, Any] | None) -> dict[str, float]:
    """Stage -> seconds a scene, of those that the last run has measured."""
    stages = (snapshot or {}).get("stages", {})
    return {name: float(found["scene_s"]) for name, found in stages.items() if found.get("scene_s")}


def is_fresh(snapshot: dict[str, Any] | None) -> bool:
    """Whether what it says of the work in hand is still so."""
    return snapshot is not None and time.time() - snapshot["at"] < STALE_S


def is_telling(snapshot: dict[str, Any]) -> bool:
    """Whether it is of a run that is under way, and what it says of the work in hand is still so."""
    return is_fresh(snapshot) and snapshot.get("state") in _AT_WORK and "job" in snapshot


def in_hand(snapshot: dict[str, Any] | None, stage: str, packed: int) -> str:
    """What a stage is at, in words; nothing where that is not known, or there is nothing to say. packed: scenes that
    its shards hold."""
    if snapshot is None or not is_telling(snapshot):
        return ""
    now = snapshot.get("stages", {}).get(stage, {})
    if not now.get("left") or not now.get("now"):
        return ""
    more = f"{now['done']} with those not yet packed; " if now["done"] != packed else ""
    return f" ({more}{int(100 * now['share'])} %, {now['now']})"


def stale_line(found: Sequence[str], remedy: str, shown: int = 5) -> str:
    """`changed since their results were made: 2 scenes ...`, for a line of its own."""
    some = "; ".join(found[:shown]) + (" ..." if len(found) > shown else "")
    return f"stale, as of the last run: {len(found)}, whose file changed since: {some}; make them anew: {remedy}"

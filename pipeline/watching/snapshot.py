"""`_progress.json`: what a run leaves on storage of how far it is, for `unscene status` on any machine."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from typing import Any

from pipeline.storage.folder import Storage
from pipeline.watching.counts import JobCounts
from pipeline.wording import span

NAME = "_progress.json"
STALE_S = 60.0
"""A snapshot that is older is of a run that has ended."""


def write_snapshot(storage: Storage, counts: JobCounts) -> None:
    """Replaces the last one. Never raises: progress must not stop a job."""
    stages = {stage.name: asdict(stage) for stage in counts.states()}
    found = {"at": time.time(), "scenes": counts.scenes, "stages": stages}
    try:
        storage.write(NAME, json.dumps(found, indent=1).encode())
    except Exception as error:
        print(f"could not write {NAME}: {error}", file=sys.stderr)


def read_snapshot(storage: Storage) -> dict[str, Any] | None:
    """The last one, or None: `at` (seconds since 1970), `scenes`, and for each of `stages` what `StageState` has."""
    try:
        found: dict[str, Any] = json.loads(storage.read(NAME))
        return found
    except (FileNotFoundError, ValueError):
        return None


def is_fresh(snapshot: dict[str, Any] | None) -> bool:
    """Whether the run that wrote it is at work, as far as one can tell."""
    return snapshot is not None and time.time() - snapshot["at"] < STALE_S


def pace(snapshot: dict[str, Any] | None, stage: str) -> str:
    """How fast a stage goes, in words; nothing where that is not known."""
    if snapshot is None or not is_fresh(snapshot):
        return ""
    now = snapshot["stages"].get(stage, {})
    if not now.get("left") or not now.get("per_minute"):
        return ""
    return f" ({now['done']} with those not yet packed; {now['per_minute']:.1f}/min, ETA {span(now['eta_s'])})"

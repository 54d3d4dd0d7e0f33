"""`--json`: what `unscene plan` and `unscene status` say, as numbers under names that stay (docs/outputs.md)."""

from __future__ import annotations

from typing import Any

from pipeline.commands.asked import check_asked, subset_lines
from pipeline.commands.bill import bill, gpu_hours
from pipeline.commands.estimate import look, other_settings
from pipeline.commands.paths import anchored
from pipeline.commands.status import state_line
from pipeline.ledger.commits import commits_of
from pipeline.ledger.lease import at_work
from pipeline.ledger.numbers import MAX_FAILURES, committed_counts
from pipeline.ledger.plan import read_plan
from pipeline.ledger.rounds import Ledger
from pipeline.ledger.run_record import read_record, recorded_spec, recorded_stages
from pipeline.stage_kinds import kinds_of
from pipeline.storage.folder import Storage
from pipeline.watching.snapshot import is_telling, read_snapshot
from schemas.job import JobSpec

Facts = dict[str, Any]


def plan_facts(spec: JobSpec) -> Facts:
    """What a job would take. Units: TFLOP, hours, bytes. Raises SpecError as `estimate` does."""
    spec = anchored(spec)
    storage = Storage(spec.output)
    _, work = look(spec, storage)
    changes = other_settings(spec, storage)
    found = bill(spec, storage)
    total = found.total(work)
    counts = committed_counts(storage, kinds_of(spec))
    return {
        "output": storage.url,
        "scenes": {"planned": work.known, "new_files": work.new, "to_learn": work.left, "to_draw": work.undrawn},
        "shards": work.shards,
        "concepts_per_scene": {"count": found.concepts, "measured": found.measured},
        "variations_per_scene": found.pictures,
        "side": found.side,
        "tflop": {"scene_handles": found.learn, "scene_variations": found.draw, "prior": found.prior, "total": total},
        "gpu_hours": {"card": "H100", "total": gpu_hours(total)},
        "bytes_to_come": {
            "prepared": round(work.left * found.prepared_bytes),
            "handles": round(work.left * found.handle_bytes),
            "variations": round(work.undrawn * found.variation_bytes),
        },
        "done": {stage: {"done": done, "failed": failed} for stage, (done, failed) in counts.items()},
        "other_settings": changes,
        "notes": [*check_asked(spec), *subset_lines(spec)],
    }


def status_facts(storage: Storage) -> Facts:
    """How far a job is, as `status_lines` says it. Units: seconds, and seconds since 1970. Raises OutputError if there
    is no job."""
    driver = at_work(storage)
    spec, record = recorded_spec(storage), read_record(storage)
    stages = recorded_stages(record, spec)
    kinds = [kind for kind in kinds_of(spec) if kind.name in stages]
    plan, ledger = read_plan(storage), Ledger(storage, stages)
    counts = committed_counts(storage, kinds)
    left = ledger.unsettled(plan.shards)
    live = read_snapshot(storage)
    state = "running" if driver else "stopped" if left or not len(plan) else "finished"
    told = live if live and driver and is_telling(live) else None
    failures: list[Facts] = []
    for name in counts:
        for commit in commits_of(storage, name):
            failures += [
                {key: row[key] for key in ("scene_id", "uri", "stage", "error", "message")}
                for row in commit.failures[: MAX_FAILURES - len(failures)]
            ]
    return {
        "output": storage.url,
        "state": state,
        "text": state_line(driver, live, len(left), planned=len(plan) > 0),
        "files": len(plan),
        "scenes": plan.scene_count(),
        "shards": {"count": plan.shards, "to_go": len(left)},
        "stages": {
            name: {
                "done": done,
                "failed": failed,
                "shards": len(ledger.rounds[name]),
                "live": told["stages"].get(name) if told else None,
            }
            for name, (done, failed) in counts.items()
        },
        "job": told["job"] if told else None,
        "heard_at": live["at"] if live else None,
        "failed": sum(failed for _, failed in counts.values()),
        "failures": failures,
    }

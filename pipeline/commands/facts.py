"""`--json`: what `unscene plan` and `unscene status` say, as numbers under names that stay (docs/outputs.md)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipeline.commands.asked import check_asked, subset_lines
from pipeline.commands.bill import Bill, Work, bill
from pipeline.commands.cards import CARDS
from pipeline.commands.estimate import look, other_settings
from pipeline.commands.paths import anchored
from pipeline.commands.status import state_line
from pipeline.commands.timing import Times, as_measured, on_card, side_by_side, told_by_flops
from pipeline.ledger.lease import at_work
from pipeline.ledger.numbers import MAX_FAILURES, committed_counts
from pipeline.ledger.plan import read_plan
from pipeline.ledger.rounds import Ledger
from pipeline.ledger.run_record import read_record, recorded_spec, recorded_stages
from pipeline.shards.parts import left_in_parts
from pipeline.stage_kinds import kinds_of
from pipeline.storage.folder import Storage
from pipeline.watching.snapshot import is_telling, read_snapshot
from schemas.job import JobSpec

Facts = dict[str, Any]
HOURS_OF = next(card for card in CARDS if card.name == "H100")
"""The card of `gpu_hours`; `cards` has all of them."""


def plan_facts(spec: JobSpec, measure: Callable[[JobSpec, Bill, Work], Times] | None = None) -> Facts:
    """What a job would take. Units: TFLOP, hours, seconds, bytes. measure: as of `estimate`. Raises SpecError as that
    does."""
    spec = anchored(spec)
    storage = Storage(spec.output)
    _, work = look(spec, storage)
    other = other_settings(spec, storage)
    found = bill(spec, storage, memory=True, concepts=work.concepts)
    assert found.needs is not None, "it was asked for"
    here = measure(spec, found, work) if measure else as_measured(storage, spec)
    cards = {card.name: on_card(card, found, work.left) for card in CARDS} if told_by_flops(found) else {}
    hours = {name: times.total(work) / 3600 for name, times in cards.items() if times.possible(work)}
    to_come = found.bytes_to_come(work)
    counts = committed_counts(storage, kinds_of(spec))
    return {
        "output": storage.url,
        "scenes": {
            "planned": work.known,
            "new_files": work.new,
            "to_segment": work.unsegmented,
            "to_learn": work.left,
            "to_draw": work.undrawn,
            "to_score": work.unscored,
        },
        "shards": work.shards,
        "concepts_per_scene": {"count": found.concepts, "measured": found.measured},
        "variations_per_scene": found.pictures,
        "side": found.side,
        "tflop": {
            "scene_segment": found.find,
            "scene_handles": found.learn,
            "scene_variations": found.draw,
            "scene_scores": found.judge,
            "prior": found.prior,
            "total": found.total(work),
        },
        "calls": {
            stage: [{"what": call.what, "times": call.times, "tflop": call.tflop} for call in calls]
            for stage, calls in found.calls.items()
        },
        "gpu_hours": {"card": HOURS_OF.name, "total": hours[HOURS_OF.name]} if HOURS_OF.name in hours else None,
        "here": {"scene_s": dict(here.scene), "total_s": here.total(work), "unknown": here.unknown(found, work)}
        if here
        else None,
        "cards": [
            {
                "card": card.name,
                "scene_s": dict(cards[card.name].scene),
                "share_of_peak": card.shares(found.low),
                "hours": hours.get(card.name),
                "scenes_side_by_side": side_by_side(card, found) if found.learn else None,
            }
            for card in CARDS
            if card.name in cards
        ],
        "least_memory": {
            stage: round(count) for stage, count in found.needs.by_stage().items() if found.by_stage()[stage]
        },
        "bytes_to_come": {
            "prepared": round(to_come["ingest"]),
            "handles": round(to_come["extract"]),
            "variations": round(to_come["generate"]),
            "scores": round(to_come["evaluate"]),
        },
        "done": {stage: {"done": done, "failed": failed} for stage, (done, failed) in counts.items()},
        "other_settings": other.locked,
        "set_anew": other.free,
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
    counts = committed_counts(storage, kinds, ledger.committed)
    left = ledger.unsettled(plan.shards)
    live = read_snapshot(storage)
    state = "running" if driver else "stopped" if left or not len(plan) else "finished"
    told = live if live and driver and is_telling(live) else None
    failures: list[Facts] = []
    for name in counts:
        failures += [
            {key: row[key] for key in ("scene_id", "uri", "stage", "error", "message")}
            for row in ledger.committed.failures(name, MAX_FAILURES - len(failures))
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
                "unpacked": left_in_parts(storage, name, ledger.rounds[name]) if state == "stopped" else 0,
            }
            for name, (done, failed) in counts.items()
        },
        "job": told["job"] if told else None,
        "heard_at": live["at"] if live else None,
        "failed": sum(failed for _, failed in counts.values()),
        "failures": failures,
    }

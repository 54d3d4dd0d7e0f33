"""`unscene plan` of a spec that compares methods: what each of its jobs would take, and all of them together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipeline.commands.asked import check_asked
from pipeline.commands.bill import Bill, Work, bill, concepts_found
from pipeline.commands.cards import CARDS, Card
from pipeline.commands.opening import check_models_and_source
from pipeline.commands.paths import anchored
from pipeline.commands.survey import survey, work_left
from pipeline.commands.timing import on_card, told_by_flops
from pipeline.protocol.jobs import SCENES, method_spec, scenes_spec
from pipeline.storage.folder import Storage
from pipeline.wording import counted, flop_text, hours_text, size_text
from schemas.job import JobSpec


def estimate_protocol(spec: JobSpec) -> list[str]:
    """Lines for a person: the scenes, a line a method, the sum. What methods hand on is counted once.

    Raises SpecError for what `unscene evaluate` would refuse to start with.
    """
    spec = anchored(spec)
    jobs = {name: method_spec(spec, name) for name in spec.protocol.methods}
    for job in jobs.values():
        check_models_and_source(job)
    notes = dict.fromkeys(line for job in jobs.values() for line in check_asked(job))
    prepared = scenes_spec(spec)
    listed = survey(prepared, Storage(prepared.output))
    concepts = concepts_found(Storage(prepared.output)) or listed.concepts
    bills = {name: bill(job, Storage(job.output), concepts=concepts) for name, job in jobs.items()}
    works = {name: work_left(job, Storage(job.output), listed) for name, job in jobs.items()}
    prior = max((cost.prior for name, cost in bills.items() if works[name].left), default=0.0)
    first = next(iter(bills.values()))
    unsegmented = work_left(prepared, Storage(prepared.output), listed).unsegmented
    found = unsegmented * first.find
    lines = [*listed.lines, first.counted_with(), f"{SCENES}: {flop_text(found)} to find the concepts, once for all"]
    total, stored = prior + found, 0.0
    for name, cost in bills.items():
        work = works[name]
        tflop = _own(cost, work)
        total += tflop
        stored += sum(size for stage, size in cost.bytes_to_come(work).items() if stage != "ingest")
        to_do = counted(max(work.left, work.undrawn, work.unscored), "scene")
        lines.append(f"{name}: {to_do} to do, {flop_text(tflop)}")
    lines.append(
        f"{counted(len(jobs), 'method')}: {flop_text(total)}"
        + (f"; {flop_text(prior)} of it for the prior set, drawn once" if prior else "")
    )
    lines.append(_on_cards([(cost, works[name]) for name, cost in bills.items()], prior, unsegmented))
    lines.append(f"storage to come: handles, variations and masks of all methods ~{size_text(stored)}")
    return [*lines, *notes, "nothing was written"]


def _own(cost: Bill, work: Work) -> float:
    """TFLOP that a method has to itself."""
    return work.left * cost.learn + work.undrawn * cost.draw + work.unscored * cost.judge


def _on_cards(methods: Sequence[tuple[Bill, Work]], prior: float, scenes: int) -> str:
    """How long all of it takes on one card of each kind. What methods share: prior, TFLOP; scenes whose concepts are
    to be found."""
    first, _ = methods[0]
    if not told_by_flops(first):
        return f"time on cards: no estimate; a pass of this base is {flop_text(first.forward)}, too little to tell"

    def own(card: Card, cost: Bill, work: Work) -> float:
        return on_card(card, replace(cost, prior=0.0, find=0.0), work.left).total(work)

    def seconds(card: Card) -> float:
        shared = card.seconds(prior, "low" if first.low else "float32") + scenes * on_card(card, first).scene.get(
            "segment", 0.0
        )
        return shared + sum(own(card, cost, work) for cost, work in methods)

    each = ", ".join(f"{card.name} {hours_text(seconds(card) / 3600)}" for card in CARDS)
    return f"time on one card, estimated from FLOPs: {each}"

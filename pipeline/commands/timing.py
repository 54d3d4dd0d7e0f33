"""How long a job takes: here, where that was measured, and on named cards, where it is an estimate from FLOPs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.commands.bill import INGEST, MOST_SCENES, PACK, Bill, Work
from pipeline.commands.cards import (
    CARDS,
    FLOAT32_SHARE,
    LOW,
    PROMPTS_SHARE,
    STEP_S,
    TF32_SHARE,
    Card,
)
from pipeline.commands.packing import packed_seconds
from pipeline.storage.folder import Storage
from pipeline.watching.snapshot import measured, read_snapshot
from pipeline.wording import counted, flop_text, hours_text
from schemas.job import JobSpec

OFF_CARD = (INGEST, PACK)
"""What CPUs and the store do, beside the cards."""
LEAST_PASS = 0.05
"""A pass of a smaller UNet takes a card as long as starting its kernels does, which FLOPs do not tell. Unit: TFLOP."""


@dataclass(frozen=True)
class Times:
    """One place and how long the job takes there. scene: stage, or what else takes time -> seconds for one scene, by
    all that work at once; prior: seconds, once a run; notes: how it is known. card: whether it is a card alone, which
    neither reads files nor packs; cramped: whether not even one scene can learn there, for want of memory."""

    place: str
    scene: Mapping[str, float]
    prior: float = 0.0
    notes: Sequence[str] = field(default=())
    card: bool = False
    cramped: bool = False

    def total(self, work: Work) -> float:
        """Seconds of all that is left, of the stages that are known."""
        scenes = work.scenes()
        known = sum(scenes[stage] * seconds for stage, seconds in self.scene.items())
        return known + (self.prior if work.left else 0.0)

    def possible(self, work: Work) -> bool:
        """Whether all that is left can be done there."""
        return not (self.cramped and work.left)

    def unknown(self, bill: Bill, work: Work) -> list[str]:
        """What has something left that `scene` does not tell of."""
        scenes = work.scenes()
        return [
            stage
            for stage in bill.timed()
            if scenes[stage] and stage not in self.scene and not (self.card and stage in OFF_CARD)
        ]


def on_card(card: Card, bill: Bill, left: int = 0) -> Times:
    """On one card, from FLOPs, and for learning from the steps that a batch shares. left: scenes that have still to
    learn, which fill no larger batch; 0 for as many as there is room for."""
    scene: dict[str, float] = {}
    for stage, tflop in bill.by_stage().items():
        own = "low" if bill.low and stage in LOW else "float32"
        calls = bill.calls.get(stage, ())
        if tflop:
            rest = tflop - sum(call.total for call in calls if call.at)
            scene[stage] = card.seconds(rest, own) + sum(card.seconds(call.total, call.at) for call in calls if call.at)
    cramped = "extract" in scene and not (batch := side_by_side(card, bill))
    if cramped:
        del scene["extract"]
    elif "extract" in scene:
        least = sum(steps * seconds for steps, seconds in zip(bill.steps, STEP_S, strict=True))
        scene["extract"] = max(scene["extract"], least / min(batch, left or batch))
    prior = card.seconds(bill.prior, "low" if bill.low else "float32")
    return Times(f"{card.name} {card.memory} GB", scene, prior, card=True, cramped=cramped)


def side_by_side(card: Card, bill: Bill) -> int:
    """Scenes in a batch: as many as the spec lets, and as fit where it is known what they need; 0 where none does."""
    most = MOST_SCENES if bill.batch is None else bill.batch
    return most if bill.needs is None else card.scenes_that_fit(bill.needs.weights, bill.needs.scene, most)


def as_measured(storage: Storage, spec: JobSpec) -> Times | None:
    """As the last run of the job measured it, with all its workers, and as its shards were packed; None where none
    has."""
    found = measured(read_snapshot(storage))
    if found and (packed := packed_seconds(storage, spec)):
        found[PACK] = packed
    said = (
        "here: as this output's last run measured it, with all its workers; stages that work side by side take less; ? "
        "stands for what it has not come to"
    )
    return Times("here", found, notes=[said]) if found else None


def time_lines(bill: Bill, work: Work, here: Times | None) -> list[str]:
    """A table: a line a place, seconds a scene by stage, and all that is left. Then what it rests on."""
    shown = bill.timed()
    places = [*([here] if here else []), *(on_card(card, bill, work.left) for card in CARDS if told_by_flops(bill))]
    rows = [
        ["time a scene", *shown, "to do"],
        *([_text(times, work, shown, bill) for times in places]),
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
    notes = list(here.notes) if here else ["here: not known; `unscene plan --probe` measures it in half a minute"]
    table = [lines[0].replace("  ", "    ", 1), *(f"  {line}" for line in lines[1:])] if places else []
    return [*table, *(f"{'  ' if table else ''}{note}" for note in [*notes, *_estimated(bill)])]


def told_by_flops(bill: Bill) -> bool:
    """Whether the base is large enough for its FLOPs to tell how long a card takes."""
    return bill.forward >= LEAST_PASS


def _text(times: Times, work: Work, shown: Sequence[str], bill: Bill) -> list[str]:
    unknown = ["-" if times.card and (stage in OFF_CARD or times.cramped) else "?" for stage in shown]
    cells = [
        hours_text(times.scene[stage] / 3600) if stage in times.scene else otherwise
        for stage, otherwise in zip(shown, unknown, strict=True)
    ]
    if not times.possible(work):
        return [times.place, *cells, "too small"]
    more = "over " if times.unknown(bill, work) else ""
    return [times.place, *cells, more + hours_text(times.total(work) / 3600)]


def _estimated(bill: Bill) -> list[str]:
    """What the lines of the cards are, and what they leave out."""
    if not told_by_flops(bill):
        return [
            f"cards: no estimate; a pass of this base is {flop_text(bill.forward)}, so little that a card would spend "
            "its time on starting the work"
        ]
    kinds = "bfloat16" if bill.low else "float32"
    *most, last = (f"{card.share:.0%} of an {card.name}'s peak" for card in CARDS if card.seen)
    seen = f"{', '.join(most)} and {last}"
    others = ", ".join(f"{card.name} is taken at {card.share:.0%}" for card in CARDS if not card.seen)
    low = (
        f"{kinds} at the share that drawing has reached, {seen}; the {others}"
        if bill.low
        else f"{kinds} at {FLOAT32_SHARE:.0%} of its peak, which a base has not been seen to reach"
    )
    lines = [f"cards: an estimate for one card, from the FLOPs above: {low}"]
    if bill.find or bill.judge:
        lines.append(
            f"  segmenter: TF32 at {TF32_SHARE:.0%} of its peak, its prompts at {PROMPTS_SHARE:.0%}, as measured on an "
            f"H200, without the masks' pixels, which are no FLOPs; judges: float32 at {FLOAT32_SHARE:.0%}"
        )
    beside = " and ".join(stage for stage in OFF_CARD if stage in bill.timed())
    lines.append(f"  {beside}: work of CPUs and of the store, beside the card and not in its line")
    return lines


def memory_lines(bill: Bill) -> list[str]:
    """What must fit, by stage, and how many scenes train side by side on each card."""
    needs = bill.needs
    if needs is None:
        return []
    stages = [stage for stage, tflop in bill.by_stage().items() if tflop]
    least = ", ".join(f"{stage} {_gb(needs.by_stage()[stage])}" for stage in stages)
    lines = [f"least memory, estimated: {least}"]
    if bill.learn:
        lines.append(
            f"  extract: the base's weights {_gb(needs.weights)}, and {_gb(needs.scene)} for each scene of a batch "
            "(factors, optimizer, activations)"
        )
        asked = "" if bill.batch is None else f" (no more than {bill.batch}, as the spec has it)"
        batches = {card.name: side_by_side(card, bill) for card in CARDS}
        fits = ", ".join(
            f"{name} {counted(number, 'scene') if number else 'not even one scene'}" for name, number in batches.items()
        )
        lines.append(f"  side by side{asked}: {fits}")
        if not all(batches.values()):
            spare = "" if bill.checkpointed else "set extract.gradient_checkpointing, or "
            lines.append(f"  where not even one scene fits: {spare}take a card with more memory")
    return lines


def _gb(count: float) -> str:
    return f"{count / 1e9:.2g} GB" if count < 99.5e9 else f"{count / 1e9:.0f} GB"

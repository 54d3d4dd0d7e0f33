"""What the source holds and what is left to do, from listings alone."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Container
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.commands.bill import USUAL, Concepts, Work
from pipeline.commands.paths import anchored
from pipeline.commands.planning import check_limit
from pipeline.commands.seedling import seedling_lines
from pipeline.ledger.changes import find_changes, with_results
from pipeline.ledger.committed import Committed
from pipeline.ledger.numbers import committed_counts
from pipeline.ledger.plan import read_plan
from pipeline.ledger.rounds import Ledger
from pipeline.shards.account import account_text, line_text
from pipeline.stage_kinds import kinds_of
from pipeline.storage.folder import Storage
from pipeline.wording import counted, size_text
from schemas.errors import SpecError
from schemas.job import JobSpec
from schemas.outcomes import BEYOND

if TYPE_CHECKING:
    from stages.ingest.census import Census


_SHOWN = 10


@dataclass(frozen=True)
class Listed:
    """What the source holds, beside a plan. scenes, shards: of the plan; new: files that it lacks; redo: changed ones
    that the next run makes unasked; lines: the same for reading; unmasked: share of the pictures that bring no masks of
    their own; concepts: of a scene, by those masks."""

    scenes: int
    shards: int
    new: int
    lines: list[str]
    redo: int = 0
    unmasked: float = 1.0
    concepts: Concepts = USUAL


def survey(spec: JobSpec, storage: Storage) -> Listed:
    """Lists the source and compares it with the plan under `storage`. Raises SpecError if there is no picture, or
    where pictures beyond `source.limit` are planned already."""
    from stages.ingest.census import read_picked, take_census

    spec = anchored(spec)
    plan, census = read_plan(storage), take_census(spec)
    known = set(plan.table.column("uri").to_pylist())
    new = [picked for picked in census.pictures if picked.uri not in known]
    check_limit(spec, census, storage, [kind.name for kind in kinds_of(spec)])
    listed = {picked.uri for picked in census.pictures} | census.beyond
    lines = _source_lines(spec, census, known, len(known - listed))
    changes = [
        change
        for change in find_changes(plan, census.pictures, functools.partial(read_picked, spec=spec))
        if change.what
    ]
    redo = 0
    if changes:
        ledger = Ledger(storage, [kind.name for kind in kinds_of(spec)])
        judged = [(change, has_results) for change, has_results in with_results(changes, ledger) if change.deep]
        stale = sum(has_results for _, has_results in judged)
        redo = len(judged) - stale
        lines.append(
            f"  changed since they were planned: {counted(len(changes), 'file')}"
            + (f", {stale} with results, which `unscene run --refresh` makes anew" if stale else "")
        )
    counts = Counter((line.kind, line.outcome, line.reason) for line in census.lines)
    counts["file", "picture", None] += len(census.pictures)
    own = "file" if spec.source.masks == "beside" else "annotation"
    counts[own, "mask", None] += sum(len(picked.masks) for picked in census.pictures)
    lines += account_text(+counts)
    told = [line for line in census.lines if line.reason != BEYOND]
    lines += [f"  {line_text(line.row())}" for line in told[:_SHOWN]]
    if len(told) > _SHOWN:
        lines.append(f"  ... and {len(told) - _SHOWN} more; a run writes them all to account/")
    lines += [f"  {remark}" for remark in census.remarks]
    lines += [f"  {line}" for line in seedling_lines(spec, census)]
    unmasked = sum(not picked.masks for picked in census.pictures) / len(census.pictures)
    concepts = _concepts(spec, census)
    return Listed(plan.scene_count(), plan.shards, len(new), lines, redo, unmasked, concepts)


def _concepts(spec: JobSpec, census: Census) -> Concepts:
    """How many a scene will have, by the masks of its picture where it brings some; of too many the largest stay."""
    most, background = spec.segment.max_concepts, int(spec.segment.background)
    usual = min(USUAL.count, most + background)
    masks = [len(picked.masks) for picked in census.pictures]
    if not any(masks):
        return Concepts(usual)
    mean = sum(min(count, most) + background if count else usual for count in masks) / len(masks)
    if all(masks):
        return Concepts(mean, "by their own masks", sure=True)
    return Concepts(mean, "by their own masks, or a usual number without")


def _source_lines(spec: JobSpec, census: Census, known: Container[str], gone: int) -> list[str]:
    total = new_bytes = refused = unknown = new = 0
    for picked in census.pictures:
        size, fresh = picked.bytes, picked.uri not in known
        new += fresh
        unknown += size is None
        total += size or 0
        new_bytes += (size or 0) if fresh else 0
        refused += size is not None and size > spec.ingest.max_bytes
    count, masks = len(census.pictures), sum(len(picked.masks) for picked in census.pictures)
    lines = [
        f"source: {counted(count, 'picture')}, {size_text(total)}, under {spec.source.uri}"
        + (f" (size unknown for {unknown})" if unknown else "")
    ]
    if spec.source.masks != "none":
        with_masks = sum(bool(picked.masks) for picked in census.pictures)
        lines.append(f"  with masks of their own: {counted(with_masks, 'picture')}, {counted(masks, 'mask')}")
    if new < count:
        lines.append(f"  new: {counted(new, 'picture')}, {size_text(new_bytes)}; planned already: {count - new}")
    if gone:
        lines.append(f"  planned earlier and no longer listed: {counted(gone, 'picture')}")
    unclear = [picked for picked in census.pictures if picked.masks_fault]
    if unclear:
        first = unclear[0]
        lines.append(f"  would fail: {counted(len(unclear), 'picture')}, such as {first.uri}: {first.masks_fault}")
    if refused:
        lines.append(
            f"  over ingest.max_bytes ({size_text(spec.ingest.max_bytes)}): {counted(refused, 'picture')}, would "
            "end in failures"
        )
    return lines


def work_left(spec: JobSpec, storage: Storage, listed: Listed) -> Work:
    """What a job that starts from pictures has still to do, by the commits under `storage`."""
    counts = committed_counts(storage, kinds_of(spec))
    lost = {stage: failed for stage, (_, failed) in counts.items()}
    before = lost["ingest"] + lost["segment"] + lost["extract"]
    left = max(0, listed.scenes - counts["extract"][0] - before)
    undrawn = max(0, listed.scenes - counts["generate"][0] - before - lost["generate"])
    shards = listed.shards + -(-listed.new // spec.pack.scenes_per_shard)
    more = listed.new + listed.redo
    unsegmented = max(0, listed.scenes - counts["segment"][0] - lost["ingest"] - lost["segment"]) + more
    uningested = max(0, listed.scenes - counts["ingest"][0] - lost["ingest"]) + more
    unscored = 0
    if "evaluate" in counts:
        unscored = max(0, listed.scenes - counts["evaluate"][0] - before - lost["generate"] - lost["evaluate"]) + more
    return Work(
        listed.scenes,
        listed.new,
        shards,
        left + more,
        undrawn + more,
        round(unsegmented * listed.unmasked),
        unscored,
        listed.concepts,
        uningested,
    )


def work_from_handles(spec: JobSpec, storage: Storage) -> Work:
    assert spec.source.handles is not None
    earlier = Storage(spec.source.handles)
    committed = Committed(earlier, ["extract"])
    known, _ = committed.counts("extract")
    if not committed.rounds("extract"):
        raise SpecError(
            f"source.handles: no handles under {spec.source.handles}; name the OUTPUT of a job that has extracted some"
        )
    counts = committed_counts(storage, kinds_of(spec))
    done, failed = counts["generate"]
    unscored = max(0, known - failed - sum(counts["evaluate"])) if "evaluate" in counts else 0
    return Work(known, 0, read_plan(earlier).shards, 0, max(0, known - done - failed), unscored=unscored)

"""`unscene plan`: what a job would take, from a listing and the base model's configuration. Nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pipeline.commands.asked import check_asked, subset_lines
from pipeline.commands.bill import Bill, Work, bill
from pipeline.commands.opening import check_models_and_source
from pipeline.commands.paths import anchored
from pipeline.commands.seedling import seedling_lines
from pipeline.commands.survey import survey, work_from_handles, work_left
from pipeline.commands.timing import Times, as_measured, memory_lines, time_lines
from pipeline.ledger.numbers import committed_counts
from pipeline.ledger.run_record import NAME, read_identity, revisions
from pipeline.ledger.settings import Changes, changes
from pipeline.stage_kinds import kinds_of
from pipeline.storage.folder import Storage
from pipeline.wording import counted, flop_text, size_text
from schemas.fingerprint import result_fields
from schemas.job import JobSpec


def estimate(spec: JobSpec, measure: Callable[[JobSpec, Bill, Work], Times] | None = None) -> list[str]:
    """Lines for a person: files, shards, FLOPs, time, storage and memory by stage, and what is done already.

    measure: what finds out how long the job takes here, where that is wanted (`--probe`).
    Raises SpecError for what `unscene run` would refuse to start with: no source, no model.
    """
    spec = anchored(spec)
    storage = Storage(spec.output)
    lines, work = look(spec, storage)
    done = _done_lines(spec, storage)  # an OUTPUT of another version is told before anything is counted
    lines.append(_shard_line(work, spec))
    found = bill(spec, storage, memory=True, concepts=work.concepts)
    lines += _cost_lines(found, spec, work)
    lines += time_lines(found, work, measure(spec, found, work) if measure else as_measured(storage, spec))
    lines += memory_lines(found)
    return [*lines, *check_asked(spec), *subset_lines(spec), *done, "nothing was written"]


def look(spec: JobSpec, storage: Storage) -> tuple[list[str], Work]:
    """What the source holds, for reading, and what there is to do. spec: with its paths made absolute.

    Raises SpecError for what `unscene run` would refuse to start with: no source, no model.
    """
    check_models_and_source(spec)
    if spec.source.handles is None:
        listed = survey(spec, storage)
        return listed.lines, work_left(spec, storage, listed)
    work = work_from_handles(spec, storage)
    revisions(spec)  # refuses another base than the handles'
    lines = [f"  {line}" for line in seedling_lines(spec, None)]
    return [f"source: {counted(work.known, 'scene')} with handles under {spec.source.handles}", *lines], work


def other_settings(spec: JobSpec, storage: Storage) -> Changes:
    """The fields that would change results and are others than those of the OUTPUT."""
    if NAME not in storage.names(""):
        return Changes()
    return changes(storage, read_identity(storage), spec, result_fields(spec, revisions(spec)))


def _shard_line(work: Work, spec: JobSpec) -> str:
    line = f"shards: {work.shards}"
    if work.new:
        line += (
            f", of up to {spec.pack.scenes_per_shard} scenes; files with the same bytes count once, which shows "
            "when they are read"
        )
    return line


def _cost_lines(found: Bill, spec: JobSpec, work: Work) -> list[str]:
    """What a scene and all of them cost, by stage: FLOPs and bytes."""
    rows = [["cost", "a scene", "scenes", "to do", "storage to come"]]
    scenes, to_come = work.scenes(), found.bytes_to_come(work)
    if not spec.source.handles:
        rows.append(["ingest", "-", str(scenes["ingest"]), "-", f"pictures ~{size_text(to_come['ingest'])}"])
    totals = found.totals(work)
    for stage, tflop in found.by_stage().items():
        if not tflop:
            continue
        whole = flop_text(totals[stage])
        rows.append([stage, flop_text(tflop), str(scenes[stage]), whole, _stored(stage, found, to_come, spec)])
    rows.append(["pack", "-", str(scenes["pack"]), "-", ""])
    rows.append(["all", flop_text(sum(found.by_stage().values())), "", flop_text(found.total(work)), _all(to_come)])
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines: list[str] = []
    for name, *cells, stored in rows:
        first = name.ljust(widths[0] + 2) if not lines else f"  {name.ljust(widths[0])}"
        numbers = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
        lines.append("  ".join([first, *numbers, stored]).rstrip())
    if found.prior and work.left:
        lines.append(f"  extract has {flop_text(found.prior)} of it for the prior set, once a run")
    lines += _call_lines(found)
    return [found.counted_with(), f"to do: {_to_do(spec, work)}, {flop_text(found.total(work))}", *lines]


def _call_lines(found: Bill) -> list[str]:
    """What a scene asks of the models, stage by stage."""
    rows = [
        (stage if not number else "", f"{call.times:,.0f} x {flop_text(call.tflop)}", call.what)
        for stage, calls in found.calls.items()
        for number, call in enumerate(calls)
    ]
    if not rows:
        return []
    first, second = (max(len(row[i]) for row in rows) for i in range(2))
    return ["calls of a scene", *(f"  {stage:{first}}  {times:>{second}}  {what}" for stage, times, what in rows)]


def _stored(stage: str, found: Bill, to_come: Mapping[str, float], spec: JobSpec) -> str:
    if stage not in to_come:
        return ""
    size = f"~{size_text(to_come[stage])}"
    return {
        "extract": f"handles {size} ({size_text(found.handle_bytes)} a scene)",
        "generate": f"variations {size} ({spec.generate.format})",
        "evaluate": f"masks {size}",
    }[stage]


def _all(to_come: Mapping[str, float]) -> str:
    return f"~{size_text(sum(to_come.values()))}"


def _to_do(spec: JobSpec, work: Work) -> str:
    if spec.source.handles or work.left == work.undrawn:
        return counted(work.undrawn, "scene")
    return f"handles of {counted(work.left, 'scene')}, variations of {counted(work.undrawn, 'scene')}"


def _done_lines(spec: JobSpec, storage: Storage) -> list[str]:
    if NAME not in storage.names(""):
        return [f"done already: nothing; {storage.url} holds no job yet"]
    kinds = kinds_of(spec)
    counts = committed_counts(storage, kinds)
    lines = [
        "done already: "
        + ", ".join(
            f"{kind.name} {counts[kind.name][0]}" + (f" ({failed} failed)" if (failed := counts[kind.name][1]) else "")
            for kind in kinds
        )
    ]
    other = other_settings(spec, storage)
    if other.locked:
        lines.append(
            f"warning: {storage.url} was made with other settings ({'; '.join(other.locked)}); `unscene run` will "
            "refuse to go on there"
        )
    elif other.free:
        lines.append(f"set anew for the stages to come: {'; '.join(other.free)}")
    return lines

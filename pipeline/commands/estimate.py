"""`unscene plan`: what a job would take, from a listing and the base model's configuration. Nothing is written."""

from __future__ import annotations

from pipeline.commands.asked import check_asked, subset_lines
from pipeline.commands.bill import Work, bill, gpu_time, not_counted
from pipeline.commands.opening import check_models_and_source
from pipeline.commands.paths import anchored
from pipeline.commands.survey import survey, work_from_handles, work_left
from pipeline.ledger.numbers import committed_counts
from pipeline.ledger.run_record import NAME, read_identity, revisions
from pipeline.stage_kinds import kinds_of
from pipeline.storage.folder import Storage
from pipeline.wording import counted, flop_text, size_text
from schemas.fingerprint import changed_fields, result_fields
from schemas.job import JobSpec


def estimate(spec: JobSpec) -> list[str]:
    """Lines for a person: files, shards, FLOPs, GPU-hours, storage, and what is done already.

    Raises SpecError for what `unscene run` would refuse to start with: no source, no model.
    """
    spec = anchored(spec)
    storage = Storage(spec.output)
    lines, work = look(spec, storage)
    done = _done_lines(spec, storage)  # an OUTPUT of another version is told before anything is counted
    lines.append(_shard_line(work, spec))
    lines += _cost_lines(spec, storage, work)
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
    return [f"source: {counted(work.known, 'scene')} with handles under {spec.source.handles}"], work


def other_settings(spec: JobSpec, storage: Storage) -> list[str]:
    """`name: old -> new` of every field that would change results and is another than the OUTPUT was made with."""
    if NAME not in storage.names(""):
        return []
    return changed_fields(read_identity(storage)["fields"], result_fields(spec, revisions(spec)))


def _shard_line(work: Work, spec: JobSpec) -> str:
    line = f"shards: {work.shards}"
    if work.new:
        line += (
            f", of up to {spec.pack.scenes_per_shard} scenes; files with the same bytes count once, which shows "
            "when they are read"
        )
    return line


def _cost_lines(spec: JobSpec, storage: Storage, work: Work) -> list[str]:
    found = bill(spec, storage)
    lines = [found.counted_with()]
    if spec.source.handles is None:
        lines.append(
            f"a scene: {flop_text(found.learn)} to learn its handles, {flop_text(found.draw)} for its "
            "variations" + (f"; once a run: {flop_text(found.prior)} for the prior set" if found.prior else "")
        )
    else:
        lines.append(f"a scene: {flop_text(found.draw)} for its variations")
    total = found.total(work)
    lines.append(f"to do: {_to_do(spec, work)}, {flop_text(total)} {not_counted(spec)}")
    lines.append(gpu_time(total))
    parts = (
        []
        if spec.source.handles
        else [
            f"prepared pictures ~{size_text(work.left * found.prepared_bytes)}",
            f"handles ~{size_text(work.left * found.handle_bytes)} ({size_text(found.handle_bytes)} a scene)",
        ]
    )
    parts.append(f"variations ~{size_text(work.undrawn * found.variation_bytes)} ({spec.generate.format})")
    return [*lines, f"storage to come: {', '.join(parts)}"]


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
    if changes := other_settings(spec, storage):
        lines.append(
            f"warning: {storage.url} was made with other settings ({'; '.join(changes)}); `unscene run` will "
            "refuse to go on there"
        )
    return lines

"""What the source holds and what is left to do, from listings alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.commands.bill import Work
from pipeline.ledger.commits import commits_of, rounds
from pipeline.ledger.numbers import committed_counts
from pipeline.ledger.plan import read_plan
from pipeline.stage_kinds import kinds_of
from pipeline.storage.folder import Storage
from pipeline.storage.many import in_order
from pipeline.wording import counted, size_text
from schemas.errors import SpecError
from schemas.job import JobSpec, Source


@dataclass(frozen=True)
class Listed:
    """What the source holds, beside a plan. scenes, shards: of the plan; new: files that it lacks; lines: the same for
    reading."""

    scenes: int
    shards: int
    new: int
    lines: list[str]


def survey(spec: JobSpec, storage: Storage) -> Listed:
    """Lists the source and compares it with the plan under `storage`. Raises SpecError if there is no picture."""
    from stages.ingest.source.listing import list_pictures

    plan = read_plan(storage)
    uris = list_pictures(spec.source)
    known = set(plan.table.column("uri").to_pylist())
    new = [uri for uri in uris if uri not in known]
    lines = _source_lines(spec, uris, new, len(known.difference(uris)))
    return Listed(plan.scene_count(), plan.shards, len(new), lines)


def _source_lines(spec: JobSpec, uris: Sequence[str], new: Sequence[str], gone: int) -> list[str]:
    fresh = set(new)
    total = new_bytes = refused = unknown = 0
    for uri, size in zip(uris, sizes_of(uris, spec.source), strict=True):
        unknown += size is None
        total += size or 0
        new_bytes += (size or 0) if uri in fresh else 0
        refused += size is not None and size > spec.ingest.max_bytes
    lines = [
        f"source: {counted(len(uris), 'file')}, {size_text(total)}, under {spec.source.uri}"
        + (f" (size unknown for {unknown})" if unknown else "")
    ]
    if len(new) < len(uris):
        lines.append(
            f"  new: {counted(len(new), 'file')}, {size_text(new_bytes)}; planned already: {len(uris) - len(new)}"
        )
    if gone:
        lines.append(f"  planned earlier and no longer listed: {counted(gone, 'file')}")
    if refused:
        lines.append(
            f"  over ingest.max_bytes ({size_text(spec.ingest.max_bytes)}): {counted(refused, 'file')}, would "
            "end in failures"
        )
    return lines


def sizes_of(uris: Sequence[str], source: Source) -> Iterator[int | None]:
    """Size of each file as its filesystem states it; None where it does not."""
    from stages.ingest.source.files import locate

    def size(uri: str) -> int | None:
        try:
            fs, path = locate(uri, source)
            found = fs.info(path).get("size")
        except Exception:  # gone since the listing, or a backend that knows no sizes
            return None
        return None if found is None else int(found)

    yield from in_order(size, uris)


def work_left(spec: JobSpec, storage: Storage, listed: Listed) -> Work:
    """What a job that starts from pictures has still to do, by the commits under `storage`."""
    counts = committed_counts(storage, kinds_of(spec))
    lost = {stage: failed for stage, (_, failed) in counts.items()}
    before = lost["ingest"] + lost["segment"] + lost["extract"]
    left = max(0, listed.scenes - counts["extract"][0] - before)
    undrawn = max(0, listed.scenes - counts["generate"][0] - before - lost["generate"])
    shards = listed.shards + -(-listed.new // spec.pack.scenes_per_shard)
    return Work(listed.scenes, listed.new, shards, left + listed.new, undrawn + listed.new)


def work_from_handles(spec: JobSpec, storage: Storage) -> Work:
    assert spec.source.handles is not None
    earlier = Storage(spec.source.handles)
    known = sum(len(record.done) for record in commits_of(earlier, "extract"))
    if not rounds(earlier, "extract"):
        raise SpecError(
            f"source.handles: no handles under {spec.source.handles}; name the OUTPUT of a job that has extracted some"
        )
    done, failed = committed_counts(storage, kinds_of(spec))["generate"]
    return Work(known, 0, read_plan(earlier).shards, 0, max(0, known - done - failed))

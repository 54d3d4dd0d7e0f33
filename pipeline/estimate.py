"""`unscene plan`: what a job would take, from a listing and the base model's configuration. Nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pipeline.commits import read_commit, rounds
from pipeline.kinds import kinds_of
from pipeline.plan import read_plan
from pipeline.report_numbers import size_text
from pipeline.run import committed_counts
from pipeline.run_record import NAME, read_record, revisions
from pipeline.storage import Storage
from schemas.errors import SpecError
from schemas.fingerprint import changed_fields, result_fields
from schemas.job import JobSpec, Source

H100_TFLOPS = 790.0
"""What an H100 reaches on large dense bf16 products. Unit: TFLOP/s."""
SHARE_REACHED = 0.40
"""Share of that which training is assumed to reach."""
USUAL_CONCEPTS = 2
"""Concepts a scene, until some are found."""
BYTES_PER_PIXEL = {"png": 1.7, "jpg": 0.6, "webp": 0.4}
"""Usual size of a photograph as the generate stage saves it."""
_READERS = 16
_WINDOW = 4096


@dataclass(frozen=True)
class Work:
    """What there is to do. known: scenes of the plan; new: files that no plan holds yet (duplicates show when their
    bytes are read); left: scenes without handles; undrawn: scenes without variations."""

    known: int
    new: int
    shards: int
    left: int
    undrawn: int


def estimate(spec: JobSpec) -> list[str]:
    """Lines for a person: files, shards, FLOPs, GPU-hours, storage, and what is done already.

    Raises SpecError for what `unscene run` would refuse to start with: no source, no model.
    """
    storage = Storage(spec.output)
    plan = read_plan(storage)
    lines: list[str] = []
    if spec.source.handles is None:
        from stages.ingest.listing import list_pictures

        uris = sorted(list_pictures(spec.source))[: spec.source.limit]
        known = set(plan.table.column("uri").to_pylist())
        new = [uri for uri in uris if uri not in known]
        lines += _source_lines(spec, uris, new, len(known.difference(uris)))
        work = _work_from_pictures(spec, storage, plan.scene_count(), plan.shards, len(new))
    else:
        work = _work_from_handles(spec, storage)
        lines.append(f"source: {_count(work.known, 'scene')} with handles under {spec.source.handles}")
    lines.append(_shard_line(work, spec))
    lines += _cost_lines(spec, storage, work)
    return [*lines, *_done_lines(spec, storage), "nothing was written"]


def _source_lines(spec: JobSpec, uris: Sequence[str], new: Sequence[str], gone: int) -> list[str]:
    fresh = set(new)
    total = new_bytes = refused = unknown = 0
    for uri, size in zip(uris, sizes_of(uris, spec.source), strict=True):
        unknown += size is None
        total += size or 0
        new_bytes += (size or 0) if uri in fresh else 0
        refused += size is not None and size > spec.ingest.max_bytes
    lines = [
        f"source: {_count(len(uris), 'file')}, {size_text(total)}, under {spec.source.uri}"
        + (f" (size unknown for {unknown})" if unknown else "")
    ]
    if len(new) < len(uris):
        lines.append(
            f"  new: {_count(len(new), 'file')}, {size_text(new_bytes)}; planned already: {len(uris) - len(new)}"
        )
    if gone:
        lines.append(f"  planned earlier and no longer listed: {_count(gone, 'file')}")
    if refused:
        lines.append(
            f"  over ingest.max_bytes ({size_text(spec.ingest.max_bytes)}): {_count(refused, 'file')}, would "
            "end in failures"
        )
    return lines


def sizes_of(uris: Sequence[str], source: Source) -> Iterator[int | None]:
    """Size of each file as its filesystem states it; None where it does not."""
    from stages.ingest.source_files import locate

    def size(uri: str) -> int | None:
        try:
            fs, path = locate(uri, source)
            found = fs.info(path).get("size")
        except Exception:  # gone since the listing, or a backend that knows no sizes
            return None
        return None if found is None else int(found)

    with ThreadPoolExecutor(_READERS) as readers:
        for start in range(0, len(uris), _WINDOW):
            yield from readers.map(size, uris[start : start + _WINDOW])


def _work_from_pictures(spec: JobSpec, storage: Storage, known: int, shards: int, new: int) -> Work:
    counts = committed_counts(storage, kinds_of(spec))
    lost = {stage: failed for stage, (_, failed) in counts.items()}
    before = lost["ingest"] + lost["segment"] + lost["extract"]
    left = max(0, known - counts["extract"][0] - before)
    undrawn = max(0, known - counts["generate"][0] - before - lost["generate"])
    return Work(known, new, shards + -(-new // spec.pack.scenes_per_shard), left + new, undrawn + new)


def _work_from_handles(spec: JobSpec, storage: Storage) -> Work:
    assert spec.source.handles is not None
    earlier = Storage(spec.source.handles)
    committed = rounds(earlier, "extract")
    if not committed:
        raise SpecError(
            f"source.handles: no handles under {spec.source.handles}; name the OUTPUT of a job that has extracted some"
        )
    known = sum(len(read_commit(earlier, "extract", shard, round_).done) for shard, round_ in committed.items())
    done, failed = committed_counts(storage, kinds_of(spec))["generate"]
    return Work(known, 0, read_plan(earlier).shards, 0, max(0, known - done - failed))


def _shard_line(work: Work, spec: JobSpec) -> str:
    line = f"shards: {work.shards}"
    if work.new:
        line += (
            f", of up to {spec.pack.scenes_per_shard} scenes; files with the same bytes count once, which shows "
            "when they are read"
        )
    return line


def _cost_lines(spec: JobSpec, storage: Storage, work: Work) -> list[str]:
    from stages.base_model import bundled, model_side
    from stages.extract.cost import scene_cost
    from stages.generate.prompts import list_pictures

    cost = scene_cost(spec)
    side = model_side(bundled(spec.models.base, "base"), spec.models.revision)
    handles = Storage(spec.source.handles) if spec.source.handles else storage
    concepts, measured = _concepts_per_scene(handles)
    names = [str(i) for i in range(max(1, round(concepts)))]
    pictures = len(list_pictures("", names, names, spec.generate))
    draw = pictures * cost["generate_tflop_picture"]
    lines = [
        f"counted with {len(names)} concepts a scene ({'as found so far' if measured else 'a usual number'}) and "
        f"{_count(pictures, 'variation')} of each, {side} x {side} pixels"
    ]
    total = work.undrawn * draw
    if spec.source.handles is None:
        prior = cost["prior_set_tflop"] if spec.extract.prior.weight > 0 and spec.extract.phase2.steps > 0 else 0.0
        total += work.left * cost["train_tflop"] + (prior if work.left else 0.0)
        lines.append(
            f"a scene: {flop_text(cost['train_tflop'])} to learn its handles, {flop_text(draw)} for its "
            "variations" + (f"; once a run: {flop_text(prior)} for the prior set" if prior else "")
        )
    else:
        lines.append(f"a scene: {flop_text(draw)} for its variations")
    hours = total / (H100_TFLOPS * SHARE_REACHED) / 3600
    lines.append(
        f"to do: {_to_do(spec, work)}, {flop_text(total)} of the UNet (segmentation, text encoder and VAE not counted"
        + (", nor evaluation)" if spec.evaluate.enabled else ")")
    )
    lines.append(
        f"GPU time: {hours_text(hours)} of an H100, assumed to reach {SHARE_REACHED:.0%} of its "
        f"~{H100_TFLOPS:.0f} TFLOP/s (bf16, dense)"
    )
    picture_bytes = BYTES_PER_PIXEL[spec.generate.format] * side * side
    parts = (
        []
        if spec.source.handles
        else [
            f"prepared pictures ~{size_text(work.left * BYTES_PER_PIXEL['png'] * side * side)}",
            f"handles ~{size_text(work.left * cost['handle_bytes'])} ({size_text(cost['handle_bytes'])} a scene)",
        ]
    )
    parts.append(f"variations ~{size_text(work.undrawn * pictures * picture_bytes)} ({spec.generate.format})")
    return [*lines, f"storage to come: {', '.join(parts)}"]


def _to_do(spec: JobSpec, work: Work) -> str:
    if spec.source.handles or work.left == work.undrawn:
        return _count(work.undrawn, "scene")
    return f"handles of {_count(work.left, 'scene')}, variations of {_count(work.undrawn, 'scene')}"


def _concepts_per_scene(storage: Storage) -> tuple[float, bool]:
    """(handles a scene in the first shard that has any, True), or (`USUAL_CONCEPTS`, False)."""
    for shard, round_ in sorted(rounds(storage, "extract").items()):
        commit = read_commit(storage, "extract", shard, round_)
        if commit.done:
            return sum(file.rows for file in commit.files) / len(commit.done), True
    return float(USUAL_CONCEPTS), False


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
    changes = changed_fields(read_record(storage)["fields"], result_fields(spec, revisions(spec)))
    if changes:
        lines.append(
            f"warning: {storage.url} was made with other settings ({'; '.join(changes)}); `unscene run` will "
            "refuse to go on there"
        )
    return lines


def flop_text(tflop: float) -> str:
    """`340 GFLOP`, `2.06 PFLOP`, `48 EFLOP`."""
    value, units = tflop * 1e3, ("GFLOP", "TFLOP", "PFLOP", "EFLOP")
    for unit in units:
        if value < 999.5 or unit == units[-1]:
            return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"
        value /= 1000
    raise AssertionError("the last unit takes any number")


def hours_text(hours: float) -> str:
    """`0.4 s`, `12 min`, `3.4 h`, `1,200 h`."""
    if hours * 3600 < 90:
        return f"{hours * 3600:.2g} s"
    return f"{hours * 60:.0f} min" if hours < 1.5 else f"{hours:,.1f} h" if hours < 100 else f"{hours:,.0f} h"


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"

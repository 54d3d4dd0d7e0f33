"""OUTPUT/protocol: the numbers, the table, the plot and the page, written from the methods' committed scores alone."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.ledger.numbers import committed_rows
from pipeline.ledger.plan import read_plan
from pipeline.ledger.rounds import FAILURES, Ledger
from pipeline.protocol.jobs import REPORT, method_spec
from pipeline.protocol.page.page import page_pieces
from pipeline.protocol.page.scatter import scatter
from pipeline.protocol.page.table import table
from pipeline.protocol.statistics.claims import REFERENCE
from pipeline.protocol.statistics.summary import MethodScores, Summary, summarise
from pipeline.shards.reader import OutputReader
from pipeline.stage_kinds import kinds_of
from pipeline.storage.folder import Storage
from pipeline.storage.parquet import CHECKED
from schemas.job import JobSpec
from schemas.records import PROTOCOL

COLUMNS = ["scene_id", "concepts", "prompt_similarity", "identity_similarity", "found", "complete"]


def write_outcome(spec: JobSpec, home: Storage) -> list[str]:
    """Writes `results.parquet`, `table.md`, `scatter.svg` and `index.html`; returns what to tell.

    Methods without scores are left out, and named. With no scores at all nothing is written.
    """
    scores: dict[str, MethodScores] = {name: scores_of(method_spec(spec, name)) for name in spec.protocol.methods}
    summary = summarise(scores, spec.protocol.resamples, spec.protocol.resample_seed)
    if not summary.methods:
        return ["no method has scores yet; nothing to compare"]
    text, plot = table(summary), scatter(summary)
    home.write(f"{REPORT}/results.parquet", _parquet(summary))
    home.write(f"{REPORT}/table.md", text.encode())
    home.write(f"{REPORT}/scatter.svg", plot.encode())
    home.write(f"{REPORT}/index.html", "".join(page_pieces(spec, home, summary, plot)).encode("utf-8", "replace"))
    lines = [text.rstrip("\n")]
    if summary.unfinished:
        lines.append(f"not finished: {', '.join(summary.unfinished)}; the same command goes on with them")
    return [*lines, f"report: {home.url_of(f'{REPORT}/index.html')}"]


def scores_of(job: JobSpec) -> MethodScores:
    """What one method's job has committed so far."""
    storage = Storage(job.output)
    reader = OutputReader(storage)
    rows = [
        row
        for shard in reader.shards("scores")
        for scene in reader.rows("scores", shard, columns=COLUMNS).values()
        for row in scene
    ]
    plan, ledger = read_plan(storage), Ledger(storage, [kind.name for kind in kinds_of(job)])
    finished = len(plan) > 0 and not ledger.unsettled(plan.shards)
    return MethodScores(rows, committed_rows(storage, FAILURES), finished)


def result_rows(summary: Summary) -> Iterator[dict[str, Any]]:
    """Rows of PROTOCOL: levels and differences of every method, in the spec's order."""
    judged = {(found.claim.method, found.claim.measure): found for found in summary.judged}
    for method in summary.methods:
        base = {"method": method, "failures": summary.failures[method]}
        for measure, level in summary.levels[method].items():
            at = level.interval
            yield {
                **base, "measure": measure, "mean": at.mean, "low": at.low, "high": at.high, "scenes": at.scenes,
                "pictures": level.pictures,
            }  # fmt: skip
        for measure, at in summary.differences[method].items():
            found = judged.get((method, measure))
            yield {
                **base, "measure": measure, "versus": REFERENCE, "mean": at.mean, "low": at.low, "high": at.high,
                "scenes": at.scenes, "expected": found.claim.direction if found else None,
                "verdict": found.verdict if found else None,
            }  # fmt: skip


def _parquet(summary: Summary) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(result_rows(summary)), schema=PROTOCOL), buffer, **CHECKED)
    return buffer.getvalue()

"""A job's counts for a person: a table that is drawn again and again in a terminal, one plain line in a log."""

from __future__ import annotations

import time

from rich.table import Table

from pipeline.watching.counts import JobCounts
from pipeline.wording import span


def line(counts: JobCounts) -> str:
    """The state in one plain line."""
    parts = []
    for stage in counts.states():
        text = f"{stage.name} {stage.done} done"
        text += f", {stage.failed} failed" if stage.failed else ""
        text += f", {stage.left} left" if stage.left else ""
        if stage.left and stage.eta_s is not None:
            text += f", {stage.per_minute:.1f}/min, ETA {span(stage.eta_s)}"
        parts.append(text)
    return f"{time.strftime('%H:%M:%S')}  " + " | ".join(parts)


def table(counts: JobCounts) -> Table:
    """A row a stage."""
    found = Table(box=None, pad_edge=False)
    for name in ("stage", "done", "failed", "left", "working", "scenes/min", "ETA"):
        found.add_column(name, justify="left" if name == "stage" else "right")
    for stage in counts.states():
        found.add_row(
            stage.name,
            str(stage.done),
            str(stage.failed) if stage.failed else "-",
            str(stage.left),
            str(stage.working),
            f"{stage.per_minute:.1f}" if stage.per_minute else "-",
            span(stage.eta_s) if stage.eta_s is not None and stage.left else "-",
        )
    return found

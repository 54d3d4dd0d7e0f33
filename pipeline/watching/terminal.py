"""A job's counts for a person: a table that is drawn again and again in a terminal, one plain line in a log."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from pipeline.watching.counts import JobCounts
from pipeline.wording import about, span

_WIDTHS = {"stage": 9, "done": 8, "failed": 7, "left": 8, "%": 4, "now": 37}
"""Columns that do not move while numbers grow, 78 with the spaces between them: a terminal has at least 80."""


def line(counts: JobCounts) -> str:
    """The state in one plain line."""
    parts = []
    for stage in counts.states():
        text = f"{stage.name} {stage.done} done"
        text += f", {stage.failed} failed" if stage.failed else ""
        text += f", {stage.left} left" if stage.left else ""
        text += f", {stage.now}" if stage.now and stage.left else ""
        parts.append(text)
    job = counts.job()
    parts.append(job_text(job.elapsed_s, job.share, job.left_s, job.unmeasured))
    return f"{time.strftime('%H:%M:%S')}  " + " | ".join(parts)


def table(counts: JobCounts) -> Group:
    """A row a stage, and a line for the whole job."""
    found = Table(box=None, pad_edge=False)
    for name, width in _WIDTHS.items():
        words = name in ("stage", "now")
        found.add_column(name, justify="left" if words else "right", width=width, no_wrap=True, overflow="ellipsis")
    for stage in counts.states():
        found.add_row(
            stage.name,
            str(stage.done),
            str(stage.failed) if stage.failed else "-",
            str(stage.left),
            str(int(100 * stage.share)),
            Text(stage.now if stage.left else ""),
        )
    job = counts.job()
    return Group(found, Text(job_text(job.elapsed_s, job.share, job.left_s, job.unmeasured)))


def job_text(elapsed_s: float, share: float | None, left_s: float | None, unmeasured: Sequence[str]) -> str:
    """`38 %, 4 min so far, about 6 min left`; before every stage is measured
    `at least 6 min left, not counting generate`."""
    parts = [f"{int(100 * share)} %"] if share is not None else []
    parts.append(f"{span(elapsed_s)} so far")
    if left_s is not None and unmeasured:
        parts.append(f"at least {about(left_s)} left, not counting {', '.join(unmeasured)}")
    elif left_s is not None:
        parts.append(f"about {about(left_s)} left")
    return ", ".join(parts)

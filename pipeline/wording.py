"""Numbers as a person reads them."""

from __future__ import annotations

import re
import time

from rich import filesize


def stamp(seconds: float) -> str:
    """A time as `2026-11-23 04:10 UTC`."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def size_text(count: float) -> str:
    """`812 bytes`, `3.4 MB`, `1.2 TB`."""
    return filesize.decimal(round(count))


def span(seconds: float) -> str:
    """`45 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def about(seconds: float) -> str:
    """The same for what is only estimated: below 90 s in steps of 10 s, so that it does not flicker."""
    return span(max(10.0, 10.0 * round(seconds / 10)) if seconds < 85 else seconds)


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


def counted(number: int, thing: str) -> str:
    """`1 scene`, `1,200 scenes`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def within(text: str, folder: str | None) -> str:
    """The text with the files of `folder` named from there on, as in `birds/1.jpg: it is empty`."""
    if not folder or not folder.strip("/"):
        return text
    return re.sub(rf"(?<![^\s'\"(]){re.escape(folder.rstrip('/'))}/(?=\S)", "", text)


def first_line(text: str, otherwise: str) -> str:
    """The first line of a message that says anything; `otherwise` where none does."""
    return next((line.strip() for line in text.splitlines() if line.strip()), otherwise)

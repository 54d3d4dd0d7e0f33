"""`unscene status --watch`: the status of an OUTPUT again and again, until nobody is at work there any more."""

from __future__ import annotations

import time

from rich.console import Console
from rich.live import Live
from rich.text import Text

from pipeline.commands.status import status_lines
from pipeline.ledger.lease import at_work
from pipeline.lines import put, wrapped
from pipeline.storage.folder import Storage

_EVERY_S = 2.0
_LOG_S = 30.0
_BEGIN_S = 30.0
"""How long a run that was typed a moment ago may take before it is at work: it reads its own code first."""


def watch(storage: Storage, console: Console, every_s: float = _EVERY_S, begin_s: float = _BEGIN_S) -> None:
    """Draws the status over itself in a terminal; elsewhere prints the line that changes, at most every half a minute,
    and all of it at the end. Where there is work to do and nobody is at it yet it waits for somebody, for `begin_s`.
    Raises OutputError if there is no job."""
    live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
    lines = status_lines(storage)
    told = 0.0
    if at_work(storage) is None and any(line.startswith("not running") for line in lines):
        put(console, f"nobody is at work here yet; looking for {begin_s:.0f} s more")
        end = time.monotonic() + begin_s
        while at_work(storage) is None and time.monotonic() < end:
            time.sleep(min(every_s, begin_s))
        lines = status_lines(storage)
    if live:
        live.start()
    try:
        while at_work(storage) is not None:
            if live:
                live.update(_drawn(lines, console), refresh=True)
            elif time.monotonic() - told >= _LOG_S:
                told = time.monotonic()
                state = next((line for line in lines if line.startswith(("running", "stopping"))), lines[0])
                put(console, f"{time.strftime('%H:%M:%S')}  {state}")
            time.sleep(every_s)
            lines = status_lines(storage)
        lines = status_lines(storage)
    finally:
        if live:
            live.stop()
        for line in lines:  # whole: a command that is broken into lines cannot be copied
            put(console, line)


def _drawn(lines: list[str], console: Console) -> Text:
    return Text("\n".join(wrapped(line, console.width) for line in lines))

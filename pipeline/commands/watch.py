"""`unscene status --watch`: the status of an OUTPUT again and again, until nobody is at work there."""

from __future__ import annotations

import time

from rich.console import Console
from rich.live import Live
from rich.text import Text

from pipeline.commands.status import status_lines
from pipeline.ledger.lease import at_work
from pipeline.storage.folder import Storage

_EVERY_S = 2.0
_LOG_S = 30.0


def watch(storage: Storage, console: Console, every_s: float = _EVERY_S) -> None:
    """Draws the status over itself in a terminal; elsewhere prints the line that changes, at most every half a minute,
    and all of it at the end. Raises OutputError if there is no job."""
    live = Live(console=console, auto_refresh=False) if console.is_terminal else None
    lines = status_lines(storage)
    told = 0.0
    if live:
        live.start()
    try:
        while at_work(storage) is not None:
            if live:
                live.update(Text("\n".join(lines)), refresh=True)
            elif time.monotonic() - told >= _LOG_S:
                told = time.monotonic()
                state = next((line for line in lines if line.startswith(("running", "stopping"))), lines[0])
                console.print(f"{time.strftime('%H:%M:%S')}  {state}", markup=False, soft_wrap=True)
            time.sleep(every_s)
            lines = status_lines(storage)
        lines = status_lines(storage)
        if live:
            live.update(Text("\n".join(lines)), refresh=True)
    finally:
        if live:
            live.stop()
    if not live:
        for line in lines:
            console.print(line, markup=False, soft_wrap=True)

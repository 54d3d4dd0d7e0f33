"""The time before the first unit of work is spoken for: one line that is drawn over in a terminal, and in a log a plain
one as soon as something takes longer than one likes to wait for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.status import Status

from pipeline.lines import put
from pipeline.wording import span
from stages.telling import listened

LOOKING = "looking at the models and the source"
"""What every command that opens a source starts with."""

_SILENT_S = 10.0
"""In a log: a command that is quickly through, or refused, has nothing else on its pages."""
_LOG_S = 30.0


@contextmanager
def preparing(console: Console, first: str) -> Iterator[None]:
    """Shows what `stages.telling.tell` says inside, and for how long already. first: what it starts with."""
    shown = _InTerminal(console, first) if console.is_terminal else _InLog(console, first)
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.5):
            shown.look()

    watcher = threading.Thread(target=watch, daemon=True, name="preparing")
    with listened(shown.say):
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()
            shown.close()


class _InLog:
    """A line for what has gone on for ten seconds, and one every half a minute while something goes on."""

    def __init__(self, console: Console, doing: str) -> None:
        self._console, self._doing = console, doing
        self._began = time.monotonic()
        self._due = self._began + _SILENT_S

    def say(self, doing: str) -> None:
        self._doing = doing

    def look(self) -> None:
        now = time.monotonic()
        if now >= self._due:
            self._due = now + _LOG_S
            put(self._console, f"{time.strftime('%H:%M:%S')}  {self._doing} ({span(now - self._began)} so far)")

    def close(self) -> None: ...


class _InTerminal:
    """One line with its seconds, gone when the work is done."""

    def __init__(self, console: Console, doing: str) -> None:
        self._doing, self._began = doing, time.monotonic()
        self._status = Status("", console=console)
        self.look()
        self._status.start()

    def say(self, doing: str) -> None:
        self._doing = doing

    def look(self) -> None:
        text = self._doing if len(self._doing) < 66 else f"{self._doing[:65]}…"
        self._status.update(f"{text.replace('[', chr(92) + '[')} ({span(time.monotonic() - self._began)})")

    def close(self) -> None:
        self._status.stop()

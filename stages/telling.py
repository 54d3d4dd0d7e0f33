"""How far long work before the first unit is: hashing a base, reading the files of a source, drawing the prior set.
Whoever does it tells, and whoever has somebody in front of them listens; in between nobody is handed anything on.

Within a unit a stage has `stages.stage.StageContext.progress` instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[str], None]
"""Called with what is being done, in words; as often as it likes to be told."""

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


def tell(doing: str) -> bool:
    """Says what is being done: `reading files, 120 of 4,000`. Cheap; False, and silent, where nobody listens."""
    if (listener := _listener.get()) is None:
        return False
    listener(doing)
    return True


@contextmanager
def listened(listener: Listener) -> Iterator[None]:
    """Has `listener` called by what is done inside, in this thread."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)

"""Many small reads at once: storage answers one after another in the time that it could answer dozens."""

from __future__ import annotations

import contextvars
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from stages.retrying import interrupt

Item = TypeVar("Item")
Found = TypeVar("Found")

THREADS = 16
WINDOW = 64
"""Calls that are begun, or done and not yet taken: what may lie in memory at once."""


def in_order(call: Callable[[Item], Found], items: Iterable[Item]) -> Iterator[Found]:
    """`call` of every item, in the order of `items`, by threads. Raises what a call raises, when its turn comes.

    `items` may be endless: no more than WINDOW of them are taken ahead of the results.
    """
    waiting: deque[Future[Found]] = deque()
    with ThreadPoolExecutor(THREADS) as threads:
        try:
            for item in items:
                if len(waiting) == WINDOW:
                    yield waiting.popleft().result()
                here = contextvars.copy_context()  # so that what a call tells is heard where the caller's is
                waiting.append(threads.submit(here.run, call, item))
            while waiting:
                yield waiting.popleft().result()
        except KeyboardInterrupt:
            interrupt()  # calls that wait for a store: nobody waits for them
            raise
        finally:  # after an error, or when nobody wants the rest
            for future in waiting:
                future.cancel()

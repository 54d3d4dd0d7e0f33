"""Processes that work for this one, and end when it does.

A worker of a pool waits for work at a pipe that its siblings hold open too, so that one whose parent was killed would
wait for ever, or work on for hours for nobody.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

_LOOK_S = 1.0


def spawned(
    workers: int | None, begin: Callable[..., None] | None = None, given: tuple[Any, ...] = ()
) -> ProcessPoolExecutor:
    """A pool of so many processes, by default one a core, each of which calls `begin(*given)` first.

    Fork would copy a parent that may hold a CUDA context and threads; spawned workers start clean.
    """
    return ProcessPoolExecutor(workers or os.cpu_count(), multiprocessing.get_context("spawn"), _begun, (begin, given))


def _begun(begin: Callable[..., None] | None, given: tuple[Any, ...]) -> None:
    end_with_parent()
    if begin is not None:
        begin(*given)


def end_with_parent() -> None:
    """From here on this process ends, whatever it is at, when the one that started it has ended in any way.

    That is the one whose `multiprocessing` has started it, and otherwise the one that the system says.
    """
    threading.Thread(target=_follow, args=(os.getppid(),), daemon=True, name="parent").start()


def _follow(started_by: int) -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    else:
        while os.getppid() == started_by:
            time.sleep(_LOOK_S)
    os._exit(1)

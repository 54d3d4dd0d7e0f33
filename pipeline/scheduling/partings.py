"""The states of batches in training, kept before a run that is to end ends their processes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import RayError

from pipeline.scheduling.pool import WorkerPool
from pipeline.wording import counted, span

GRACE_S = 30.0
"""What a run that is to end waits for that at most: a step may take long, and who stops a machine does not wait."""


class Partings:
    """pool: of the stage that keeps states; every_s: how often it does so by itself, None for never."""

    def __init__(self, pool: WorkerPool | None, every_s: float | None, tell: Callable[[str], None]) -> None:
        self._pool, self._every_s, self._tell = pool, every_s, tell
        self._calls: list[Any] | None = None
        self._until = 0.0

    def over(self) -> bool:
        """Whether nothing is to be waited for any more. Asks when it is called first, and waits for nobody itself."""
        if self._pool is None or self._every_s is None:
            return True
        if self._calls is None:
            self._until = time.monotonic() + GRACE_S
            self._calls = [each.actor.part.remote(GRACE_S) for each in self._pool.workers if each.unit is not None]
        if not self._calls:
            return True
        ready, others = ray.wait(self._calls, num_returns=len(self._calls), timeout=0)
        if others and time.monotonic() < self._until:
            return False
        lost = len(others) + sum(not _kept(call) for call in ready)
        if lost:
            self._tell(
                f"{counted(lost, 'state')} of batches in training could not be kept in {span(GRACE_S)}: at most the "
                f"last {span(self._every_s)} of steps are done again"
            )
        self._calls = []
        return True


def _kept(call: Any) -> bool:
    try:
        return bool(ray.get(call))
    except RayError:  # its process has died
        return False

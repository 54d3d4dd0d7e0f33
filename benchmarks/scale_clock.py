"""The clock of a simulated job: it goes on by what the driver's own work takes, and jumps over what nobody works at."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

EPOCH = 1_700_000_000.0
"""When a simulated job begins, in seconds since 1970."""


@dataclass
class Aside:
    """Work of another process than the driver. who: whose; began_s: processor time of this process when it began;
    waited_s: for the store; worked_s: processor time that it took here, once it is over."""

    who: str
    began_s: float
    waited_s: float = 0.0
    worked_s: float = 0.0


class Clock:
    """Stands in for the module `time` where the pipeline reads the clock.

    The driver's own work counts with the processor time that it takes here, so that another program on this machine
    changes nothing. What runs `aside` costs the driver no time, as in the job that is simulated it runs elsewhere.
    """

    strftime, gmtime = staticmethod(time.strftime), staticmethod(time.gmtime)

    def __init__(self) -> None:
        self._skipped = self._others_s = 0.0
        self._aside: list[Aside] = []
        self._main = threading.get_ident()

    def monotonic(self) -> float:
        """Seconds since the simulation began."""
        return (self._aside[0].began_s if self._aside else time.process_time()) + self._skipped

    def time(self) -> float:
        return EPOCH + self.monotonic()

    def sleep(self, seconds: float) -> None:
        self._skipped += seconds

    @property
    def worked_s(self) -> float:
        """Processor time that the driver itself has taken."""
        return time.process_time() - self._others_s

    @property
    def who(self) -> str:
        """Whose work is being done."""
        return self._aside[-1].who if self._aside else "driver"

    def wait(self, seconds: float) -> None:
        """Whoever works waits for an answer."""
        if self._aside:
            self._aside[-1].waited_s += seconds
        else:
            self._skipped += seconds

    @contextmanager
    def aside(self, who: str) -> Iterator[Aside]:
        """What is done inside is another process's; the clock stands still."""
        now = Aside(who, time.process_time())
        self._aside.append(now)
        try:
            yield now
        finally:
            self._aside.pop()
            now.worked_s = time.process_time() - now.began_s
            if not self._aside:
                self._skipped -= now.worked_s
                self._others_s += now.worked_s

    @property
    def threaded(self) -> bool:
        """Whether the caller is one of several threads, whose waits overlap."""
        return threading.get_ident() != self._main

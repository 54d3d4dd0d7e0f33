"""Who goes about at night and breaks things, for `benchmarks/chaos.py`: what is broken when is decided by a seed and by
how far the job is."""

from __future__ import annotations

import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.chaos_cluster import PACKER, RAYLET, WORKER, Machines, signalled
from benchmarks.chaos_job import LEASE_S
from benchmarks.chaos_proxy import MOMENTS, EndingProxy

LATE_S = LEASE_S + 2.0
_AWAY_S = 4.0
_PAUSE_S = 1.0
"""Between two faults: whoever is lost again and again is given longer and longer pauses."""
PACKING = ("attempt", "commit", "publish", "sweep")
"""Steps of packers mostly, of which one at a time is to be ended."""
WEIGHTS = {
    "worker killed": 46,
    "packer killed": 22,
    "driver killed": 12,
    "machine lost": 8,
    "head and driver killed": 3,
    "worker stopped for longer than the lease": 8,
    "packer stopped for longer than the lease": 8,
    "raylet stopped for longer than the lease": 4,
    "driver stopped, and another took over": 5,
    "second driver": 4,
    "store away": 4,
}
"""How often each is meant to happen in a night of some 240."""
POINTS = {
    "commit": (14, 14, 5),
    "publish": (12, 12, 4),
    "attempt": (6, 6, 2),
    "part": (5, 5, 2),
    "lease": (5, 5, 2),
    "sweep": (5, 5, 0),
}
"""The same of crash points: step -> how often a process is to be ended before it, after it and in it
(`chaos_proxy.py`). Those of plan come with each batch of pictures that joins."""


@dataclass
class Driver:
    """One call of the command. killed: by us. stopped: is not running, and another is to take over."""

    process: subprocess.Popen[bytes]
    log: Path
    killed: bool = False
    stopped: bool = False

    def said(self) -> str:
        return self.log.read_text(errors="replace")


@dataclass
class Monkey:
    """start: begins another driver. holder: process id of whoever holds the lease, and the last epoch. done: by
    kind."""

    machines: Machines
    proxy: EndingProxy
    drivers: list[Driver]
    start: Callable[[], Driver]
    holder: Callable[[], tuple[int, int]]
    seed: int
    done: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.lot, self._last = random.Random(self.seed), 0.0
        self.planned: list[str] = []
        self.asked = 0
        self._later: list[tuple[float, Callable[[], bool]]] = []

    def plan(self, faults: int) -> None:
        """Draws so many faults, as the weights have it."""
        whole = [kind for kind, count in WEIGHTS.items() for _ in range(count)]
        for step, counts in POINTS.items():
            whole += [f"{moment} {step}" for moment, count in zip(MOMENTS, counts, strict=True) for _ in range(count)]
        drawn = whole * (faults // len(whole)) + self.lot.sample(whole, faults % len(whole))
        self.planned, self.asked = self.lot.sample(drawn, faults), faults

    def turn(self, progress: float) -> None:
        """Breaks the next of what is due by now. progress: of the whole job, 0 to 1."""
        now = time.monotonic()
        waiting, self._later = self._later, []
        self._later += [(at, call) for at, call in waiting if now < at or not call()]
        due = self.planned[: max(0, int(progress * self.asked) + 1 - (self.asked - len(self.planned)))]
        for kind in due if now > self._last + _PAUSE_S else []:
            moment, _, step = kind.partition(" ")
            if step not in POINTS:
                if not self.break_(kind):
                    continue
                self.done[kind] += 1
            elif any((other in PACKING) == (step in PACKING) for _, other in self.proxy.armed):
                continue
            else:
                self.proxy.armed.append((moment, step))
            self.planned.remove(kind)
            self._last = now
            return

    @property
    def busy(self) -> bool:
        """Whether something is stopped that is to go on."""
        return bool(self._later)

    def break_(self, kind: str) -> bool:
        """Whether there was what was to be broken."""
        of = {"worker": WORKER, "packer": PACKER, "raylet": RAYLET}.get(kind.partition(" ")[0])
        if kind == "machine lost":
            self.machines.lose_one(self.lot.randrange(100))
            return True
        if kind == "store away":
            self.proxy.away = True
            threading.Timer(_AWAY_S, self._back).start()  # we ask the store too, and wait for it
            return True
        if of is not None:
            found = self.machines.processes(of)
            if not found:
                return False
            process = self.lot.choice(found)
            if kind.endswith("killed"):
                return signalled(process, signal.SIGKILL)
            self.later(LATE_S, lambda: signalled(process, signal.SIGCONT) or True)
            return signalled(process, signal.SIGSTOP)
        pid, epoch = self.holder()
        at_work = [driver for driver in self.drivers if driver.process.pid == pid and not driver.stopped]
        if not at_work or at_work[0].process.poll() is not None:
            return False
        if kind.startswith("head") and (self.busy or len(self.drivers) > 1):
            return False  # those would end with an error of Ray's
        if kind == "second driver":
            self.start()
            return True
        if kind.startswith("driver stopped"):
            return self._stop(at_work[0], epoch)
        at_work[0].killed = True
        at_work[0].process.kill()
        if kind.startswith("head"):
            self.machines.end()
            self.machines.start()
        return True

    def later(self, seconds: float, call: Callable[[], bool]) -> None:
        """Calls it then, and again each turn until it says true."""
        self._later.append((time.monotonic() + seconds, call))

    def _back(self) -> None:
        self.proxy.away = False

    def _stop(self, driver: Driver, epoch: int) -> bool:
        """Goes on once another has taken over, and has had a moment."""
        taken: list[float] = []

        def go_on() -> bool:
            if not taken and self.holder()[1] > epoch:
                taken.append(time.monotonic())
            if not taken or time.monotonic() < taken[0] + 2.0:
                return False
            signalled(driver.process, signal.SIGCONT)
            return True

        driver.stopped = True
        self.later(0.0, go_on)
        return signalled(driver.process, signal.SIGSTOP)


def ended_well(driver: Driver) -> str | None:
    """What the end of a driver was, in a word; None where nobody foresaw it."""
    code, said = driver.process.returncode, driver.said()
    if code == -signal.SIGKILL:
        return "killed"
    if code == 0:
        return "to its end"
    sentences: dict[str, Any] = {
        "another run is at work here": "refused, another being at work",
        "another run has taken over here": "stopped, another having taken over",
        "failed to start": "stopped, its workers having been killed three times in a row",
    }
    return next((word for text, word in sentences.items() if code == 2 and text in said), None)

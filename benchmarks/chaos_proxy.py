"""The proxy of `benchmarks/chaos.py`: beside breaking answers it ends whoever asks, at a step that it was told of.

On an object store every step of plan, lease, commit and publishing is a request, so a process that is ended before one
reaches the store, or after it has and before the answer comes, is ended between two steps; nothing in the process
itself has to know of it.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
import time
from collections import Counter
from urllib.parse import unquote, urlsplit

import psutil

from tests.support.fault_proxy import Asked, FaultProxy

STEPS = ("plan", "lease", "part", "attempt", "commit", "publish", "sweep")
MOMENTS = ("before", "after", "in")
"""Of a step: before the store hears of it; after it has done it, and before the answer; in: it is ended, and the store
hears of the request when somebody else has gone on."""
_FOLDERS = {"_plan": "plan", "_lease": "lease", "_work": "part", "_attempts": "attempt", "_commits": "commit"}
_SWEPT = re.compile(rb"_(?:work|attempts)/")


class EndingProxy(FaultProxy):
    """armed: (moment, step) that are to end a process, each once. late_s: how long a request is on its way whose sender
    is ended `in` it. ended: by moment and step, of what was armed. made: units of which the store has the parts."""

    def __init__(self, upstream: str, seed: int, late_s: float) -> None:
        super().__init__(upstream, seed, stall_s=0.3)
        self.late_s = late_s
        self.armed: list[tuple[str, str]] = []
        self.ended: Counter[tuple[str, str]] = Counter()
        self.made: set[str] = set()
        self._arming = threading.Lock()

    def met(self, asked: Asked, done: bool) -> bool:
        step = step_of(asked)
        if step is None:
            return False
        if step == "part" and done:
            self.made.add(_key(asked).partition("-")[0])  # a unit that is made again begins with the same scene
        if done:
            return self._end(asked, ("after", step))
        if self._end(asked, ("in", step)):
            time.sleep(self.late_s)
            return False
        return self._end(asked, ("before", step))

    def _end(self, asked: Asked, point: tuple[str, str]) -> bool:
        with self._arming:
            if point not in self.armed:
                return False
            pid = _asking(asked.port)
            if pid is None:
                return False
            self.armed.remove(point)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            self.ended[point] += 1
            return True


def step_of(asked: Asked) -> str | None:
    """What a request changes of an OUTPUT, in a word; None of one that only looks, or that matters to nobody."""
    query = urlsplit(asked.path).query
    if asked.method == "POST" and "delete" in query:
        return "sweep" if _SWEPT.search(asked.body) else None
    folder = next((part for part in _key(asked).split("/") if part in _FOLDERS), None)
    if asked.method == "DELETE":
        return "sweep" if folder in ("_work", "_attempts") else None
    if asked.method in ("PUT", "POST") and ("uploads" in query or "uploadId" in query):  # begun, a part of it, finished
        return _FOLDERS.get(folder or "")
    if asked.method != "PUT":
        return None
    if "x-amz-copy-source" in asked.headers:
        return "publish"
    return _FOLDERS.get(folder or "")


def _key(asked: Asked) -> str:
    return unquote(urlsplit(asked.path).path)


def _asking(port: int) -> int | None:
    """The process that holds the socket of this port, which is not ours."""
    for line in psutil.net_connections("tcp4"):
        if line.laddr and line.laddr.port == port and line.pid not in (None, os.getpid()):
            return int(line.pid)
    return None

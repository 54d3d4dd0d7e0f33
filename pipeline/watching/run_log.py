"""`_logs/`: what a run told, a small text file each, for whoever asks later what happened.

It holds what the terminal said and more: what ran with what, shards as they were committed, a line of progress a
minute, the traceback that ended it, and where Ray's own logs of the workers lie.
"""

from __future__ import annotations

import os
import shlex
import socket
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType

from pipeline.storage.folder import Storage
from pipeline.watching.watcher import InHand
from schemas.outcomes import as_told

FOLDER = "_logs"
_WRITE_S = 15.0
_LINE_S = 60.0
_FIRST, _LAST = 200, 2000
"""Lines that are kept of a run: what it began with, and what came last. About 300 KB at most."""


class RunLog:
    """The log of one run. Never raises: a log must not stop a job.

    line: the state of the job in one line, which the log asks for once a minute. name: of the file under OUTPUT.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.name = f"{FOLDER}/{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{os.getpid()}.log"
        self.line: Callable[[], str] | None = None
        self._first: list[str] = []
        self._last: deque[str] = deque(maxlen=_LAST)
        self._left_out = 0
        self._written_at = self._asked_at = time.monotonic()
        self.say(f"{shlex.join(sys.argv)} in {os.getcwd()}")
        self.say(f"process {os.getpid()} on {socket.gethostname()}, times in UTC")

    def __enter__(self) -> RunLog:
        self.write()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.say("".join(traceback.format_exception(kind, error, trace)).rstrip())
        self.write()

    def say(self, text: str) -> None:
        """Adds a line, or several, without the credentials in them."""
        now = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
        for line in as_told(text).splitlines():
            if len(self._first) < _FIRST:
                self._first.append(f"{now}  {line}")
                continue
            self._left_out += len(self._last) == _LAST
            self._last.append(f"{now}  {line}")

    def unit_done(self, stage: str, done: int, failed: int) -> None:
        pass

    def shard_packed(self, stage: str, shard: int, done: int, failed: int) -> None:
        self.say(f"{stage}: shard {shard:06d} committed, {done} done, {failed} failed")

    def event(self, text: str) -> None:
        self.say(text)

    def tick(self, in_hand: Mapping[str, Sequence[InHand]]) -> None:
        now = time.monotonic()
        if self.line is not None and now - self._asked_at >= _LINE_S:
            self._asked_at = now
            self.say(self.line())
        if now - self._written_at >= _WRITE_S:
            self.write()

    def write(self) -> None:
        """Puts what there is in OUTPUT, in place of what was there."""
        self._written_at = time.monotonic()
        between = [f"... {self._left_out} lines left out ..."] if self._left_out else []
        text = "\n".join([*self._first, *between, *self._last, ""])
        try:
            self.storage.write(self.name, text.encode("utf-8", "replace"))
        except Exception as error:
            print(as_told(f"could not write {self.name}: {error}"), file=sys.stderr)

"""`_logs/`: what a run told, twice over, for whoever asks later what happened: a small text file, and beside it the
same lines as JSON with time, level, stage, scene and shard, for programs.

It holds what the terminal said and more: what ran with what, shards as they were committed, a line of progress a
minute, the workers' own warnings, the traceback that ended it, and where Ray's own logs of the workers lie.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType

from pipeline.storage.folder import Storage
from pipeline.watching.watcher import NOTHING, About, InHand, Said
from pipeline.wording import size_text
from schemas.outcomes import as_told

FOLDER = "_logs"
_WRITE_S = 15.0
_LINE_S = 60.0
_FIRST, _LAST = 200, 2000
"""Lines that are kept of a run: what it began with, and what came last. About 300 KB of text at most."""
_LONGEST = 2000
"""Characters of a line."""
WARNINGS = 500
"""Of the workers, that are kept of a run; all are counted. There may be one a scene, and the end is to stay seen."""


@dataclass(frozen=True)
class _Line:
    """at: seconds since 1970."""

    at: float
    text: str
    about: About

    def plain(self) -> str:
        mark = "" if self.about.level == "info" else f"{self.about.level}: "
        return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(self.at))}  {mark}{self.text}"

    def json(self) -> str:
        """Always the same keys, in the same order."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(self.at))
        fields = {
            "time": f"{stamp}.{int(self.at % 1 * 1000):03d}Z",
            "level": self.about.level,
            "stage": self.about.stage,
            "scene": self.about.scene_id,
            "shard": self.about.shard,
            "retry": self.about.retry,
            "text": self.text,
        }
        return json.dumps(fields, ensure_ascii=False)


class RunLog:
    """The log of one run. Never raises: a log must not stop a job.

    line: the state of the job in one line, which the log asks for once a minute. name: of the text under OUTPUT; the
    lines as JSON are beside it, under `json_name`.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.name = f"{FOLDER}/{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{os.getpid()}.log"
        self.json_name = f"{self.name.removesuffix('.log')}.jsonl"
        self.line: Callable[[], str] | None = None
        self._first: list[_Line] = []
        self._last: deque[_Line] = deque(maxlen=_LAST)
        self._left_out = self._warnings = 0
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
            self.say("".join(traceback.format_exception(kind, error, trace)).rstrip(), About(level="error"))
        if (more := self._warnings - WARNINGS) > 0:
            self.say(f"{more} more warnings of workers were counted, not kept")
        self.write()

    def say(self, text: str, about: About = NOTHING) -> None:
        """Adds a line, or several, without the credentials in them."""
        now = time.time()
        for line in as_told(text).splitlines():
            shown = line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ..."
            if len(self._first) < _FIRST:
                self._first.append(_Line(now, shown, about))
                continue
            self._left_out += len(self._last) == _LAST
            self._last.append(_Line(now, shown, about))

    def unit_done(self, stage: str, done: int, failed: int) -> None:
        pass

    def shard_packed(self, stage: str, shard: int, done: int, failed: int, size: int = 0) -> None:
        about = About(stage, shard=shard)
        self.say(f"{stage}: shard {shard:06d} committed, {done} done, {failed} failed, {size_text(size)}", about)

    def event(self, text: str, about: About = NOTHING) -> None:
        self.say(text, about)

    def warned(self, stage: str, shard: int, said: Sequence[Said]) -> None:
        """Keeps the first `WARNINGS` of a run; how many more there were, its last lines say."""
        for one in said:
            self._warnings += 1
            if self._warnings <= WARNINGS:
                self.say(f"{stage}: {one.text}", About(stage, one.scene_id, shard, one.level))

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
        between = f"... {self._left_out} lines left out ..."
        gap = [_Line(self._first[-1].at, between, NOTHING)] if self._left_out else []
        plain = [*map(_Line.plain, self._first), *(line.text for line in gap), *map(_Line.plain, self._last)]
        coded = [line.json() for line in (*self._first, *gap, *self._last)]
        try:
            for name, lines in ((self.name, plain), (self.json_name, coded)):
                self.storage.write(name, "\n".join([*lines, ""]).encode("utf-8", "replace"))
        except Exception as error:
            print(as_told(f"could not write {self.name}: {error}"), file=sys.stderr)

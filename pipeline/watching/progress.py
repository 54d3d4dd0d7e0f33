"""Progress while a job runs: a table in a terminal, one plain line a minute in a log, `_progress.json` for `status`."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console
from rich.live import Live

from pipeline.storage.folder import Storage
from pipeline.watching.counts import JobCounts
from pipeline.watching.snapshot import write_snapshot
from pipeline.watching.terminal import line, table

_WRITE_S = 10.0
_LOG_S = 60.0


class Progress:
    """Counts what the scheduler reports and shows it: the `Watcher` of a job."""

    def __init__(self, stages: Sequence[str], scenes: int, storage: Storage, console: Console | None = None) -> None:
        self.counts, self.storage = JobCounts(stages, scenes), storage
        self.console = console or Console()
        self.live = Live(console=self.console, refresh_per_second=2) if self.console.is_terminal else None
        self._written_at = self._logged_at = 0.0

    def __enter__(self) -> Progress:
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self.live.update(table(self.counts))
            self.live.stop()
        write_snapshot(self.storage, self.counts)

    def restore(self, stage: str, done: int, failed: int) -> None:
        """What earlier runs have committed."""
        self.counts.stages[stage].done += done
        self.counts.stages[stage].failed += failed

    def unit_done(self, stage: str, done: int, failed: int) -> None:
        self.counts.stages[stage].add(done, failed, time.monotonic())

    def shard_packed(self, stage: str, shard: int, done: int, failed: int) -> None:
        self._written_at = 0.0

    def event(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def tick(self, working: dict[str, int]) -> None:
        """Called every turn of the scheduler's loop."""
        now = time.monotonic()
        for stage, count in working.items():
            self.counts.stages[stage].working = count
        if self.live:
            self.live.update(table(self.counts))
        elif now - self._logged_at >= _LOG_S:
            self._logged_at = now
            self.event(line(self.counts))
        if now - self._written_at >= _WRITE_S:
            self._written_at = now
            write_snapshot(self.storage, self.counts)

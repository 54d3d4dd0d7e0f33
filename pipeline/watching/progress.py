"""Progress while a job runs: a table in a terminal, one plain line now and then in a log, `_progress.json` for
`status`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.live import Live

from pipeline.lines import put
from pipeline.storage.folder import Storage
from pipeline.watching.counts import JobCounts
from pipeline.watching.snapshot import measured, read_snapshot, write_snapshot
from pipeline.watching.terminal import line, table
from pipeline.watching.watcher import NOTHING, About, InHand, Said
from schemas.errors import LeaseLost

_WRITE_S = 10.0
_REST = 100
"""A snapshot is written for each shard, but takes no more than one part in so many of the time: nobody is given work
while the store answers."""
_LOG_S = 30.0


class Progress:
    """Counts what the scheduler reports and shows it: the `Watcher` of a job. made: stage -> scenes with results and
    without that this run has brought."""

    def __init__(
        self,
        stages: Sequence[str],
        scenes: int,
        storage: Storage,
        console: Console | None = None,
        began: float | None = None,
    ) -> None:
        """began: when the run did, by `time.monotonic`; now where it is not said."""
        self.counts = JobCounts(stages, scenes, measured(read_snapshot(storage)), began)
        self.storage = storage
        self.made = dict.fromkeys(stages, (0, 0))
        self.console = console or Console()
        self.live = Live(console=self.console, refresh_per_second=2) if self.console.is_terminal else None
        self.state = "running"
        self._due_at = self._logged_at = 0.0
        self._written_at = self._took_s = 0.0

    def __enter__(self) -> Progress:
        if self.live:
            self.live.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.counts.rest()
        if self.live:
            self.live.update(table(self.counts))
            self.live.stop()
        if not isinstance(error, LeaseLost):  # what is written there tells of the run that has taken over
            write_snapshot(self.storage, self.counts, "ended")

    def restore(self, stage: str, done: int, failed: int) -> None:
        """What earlier runs have committed."""
        self.counts.restore(stage, done, failed)

    def unit_done(self, stage: str, done: int, failed: int) -> None:
        self.counts.add(stage, done, failed)
        self.made[stage] = (self.made[stage][0] + done, self.made[stage][1] + failed)

    def shard_packed(self, stage: str, shard: int, done: int, failed: int, size: int = 0) -> None:
        self._due_at = min(self._due_at, self._written_at + self._took_s * _REST)

    def stopping(self) -> None:
        """The run has been asked to end; `status` says so."""
        self.state, self._due_at = "stopping", 0.0

    def event(self, text: str, about: About = NOTHING) -> None:
        put(self.console, text)

    def warned(self, stage: str, shard: int, said: Sequence[Said]) -> None:
        """In the log of the run, not before a person's eyes: there may be one a scene."""

    def tick(self, in_hand: Mapping[str, Sequence[InHand]]) -> None:
        """Called every turn of the scheduler's loop."""
        now = time.monotonic()
        self.counts.tick(in_hand)
        if self.live:
            self.live.update(table(self.counts))
        elif now - self._logged_at >= _LOG_S:
            self._logged_at = now
            self.event(line(self.counts))
        if now >= self._due_at:
            write_snapshot(self.storage, self.counts, self.state)
            self._written_at = time.monotonic()
            self._took_s, self._due_at = self._written_at - now, self._written_at + _WRITE_S

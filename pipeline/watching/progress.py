"""Progress while a job runs: a table in a terminal, one plain line a minute in a log, `_progress.json` for `status`."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from pipeline.storage.folder import Storage
from pipeline.watching.counts import StageCount
from pipeline.wording import span

_WRITE_S = 10.0
_LOG_S = 60.0


class Progress:
    """Counts what the scheduler reports and shows it."""

    def __init__(self, stages: list[str], scenes: int, storage: Storage, console: Console | None = None) -> None:
        self.stages = {stage: StageCount() for stage in stages}
        self.scenes, self.storage = scenes, storage
        self.console = console or Console()
        self.live = Live(console=self.console, refresh_per_second=2) if self.console.is_terminal else None
        self._written_at = self._logged_at = 0.0

    def __enter__(self) -> Progress:
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self.live.update(self._table())
            self.live.stop()
        self._write()

    def restore(self, stage: str, done: int, failed: int) -> None:
        """What earlier runs have committed."""
        self.stages[stage].done += done
        self.stages[stage].failed += failed

    def unit_done(self, stage: str, done: int, failed: int) -> None:
        self.stages[stage].add(done, failed, time.monotonic())

    def shard_packed(self, stage: str, shard: int, done: int, failed: int) -> None:
        self._written_at = 0.0

    def event(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def tick(self, working: dict[str, int]) -> None:
        """Called every turn of the scheduler's loop."""
        now = time.monotonic()
        for stage, count in working.items():
            self.stages[stage].working = count
        if self.live:
            self.live.update(self._table())
        elif now - self._logged_at >= _LOG_S:
            self._logged_at = now
            self.console.print(self.line(), markup=False, highlight=False, soft_wrap=True)
        if now - self._written_at >= _WRITE_S:
            self._written_at = now
            self._write()

    def left(self, stage: str) -> int:
        """Scenes that may still reach the end of this stage: all, less those done here and those failed up to here."""
        lost = 0
        for name, count in self.stages.items():
            lost += count.failed
            if name == stage:
                break
        return max(0, self.scenes - lost - self.stages[stage].done)

    def eta_s(self, stage: str) -> float | None:
        rate = self.stages[stage].per_minute(time.monotonic())
        return 60.0 * self.left(stage) / rate if rate else None

    def line(self) -> str:
        """The state in one plain line."""
        parts = []
        for stage, count in self.stages.items():
            text = f"{stage} {count.done} done"
            text += f", {count.failed} failed" if count.failed else ""
            left, rate, eta = self.left(stage), count.per_minute(time.monotonic()), self.eta_s(stage)
            text += f", {left} left" if left else ""
            text += f", {rate:.1f}/min, ETA {span(eta)}" if left and eta is not None else ""
            parts.append(text)
        return f"{time.strftime('%H:%M:%S')}  " + " | ".join(parts)

    def snapshot(self) -> dict[str, Any]:
        return {
            "at": time.time(),
            "scenes": self.scenes,
            "stages": {
                stage: {
                    "done": count.done,
                    "failed": count.failed,
                    "left": self.left(stage),
                    "working": count.working,
                    "per_minute": count.per_minute(time.monotonic()),
                    "eta_s": self.eta_s(stage),
                }
                for stage, count in self.stages.items()
            },
        }

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False)
        for name in ("stage", "done", "failed", "left", "working", "scenes/min", "ETA"):
            table.add_column(name, justify="left" if name == "stage" else "right")
        for stage, count in self.stages.items():
            eta = self.eta_s(stage)
            rate = count.per_minute(time.monotonic())
            table.add_row(
                stage,
                str(count.done),
                str(count.failed) if count.failed else "-",
                str(self.left(stage)),
                str(count.working),
                f"{rate:.1f}" if rate else "-",
                span(eta) if eta is not None and self.left(stage) else "-",
            )
        return table

    def _write(self) -> None:
        try:
            self.storage.write("_progress.json", json.dumps(self.snapshot(), indent=1).encode())
        except Exception as error:  # progress must never stop a job
            print(f"could not write _progress.json: {error}", file=sys.stderr)

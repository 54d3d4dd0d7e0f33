"""What the scheduler tells the outside world."""

from __future__ import annotations

from typing import Protocol


class Watcher(Protocol):
    """What the scheduler tells the outside world."""

    def unit_done(self, stage: str, done: int, failed: int) -> None: ...
    def shard_packed(self, stage: str, shard: int, done: int, failed: int) -> None: ...
    def event(self, text: str) -> None: ...
    def tick(self, working: dict[str, int]) -> None: ...

"""What the scheduler tells the outside world."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class InHand:
    """What one worker is at. scenes: of its unit; 0 while it starts. word: the last that its stage has told of how far
    it is, see `stages.stage.StageContext.progress`."""

    scenes: int
    word: Mapping[str, Any] = field(default_factory=dict)


class Watcher(Protocol):
    """What the scheduler tells the outside world."""

    def unit_done(self, stage: str, done: int, failed: int) -> None: ...
    def shard_packed(self, stage: str, shard: int, done: int, failed: int) -> None: ...
    def event(self, text: str) -> None: ...
    def tick(self, in_hand: Mapping[str, Sequence[InHand]]) -> None: ...

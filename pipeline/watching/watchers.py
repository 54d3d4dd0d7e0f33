"""Several watchers of one job, told one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.watching.watcher import InHand, Watcher


class Watchers:
    """Tells each of them what the scheduler tells."""

    def __init__(self, *watchers: Watcher) -> None:
        self._watchers = watchers

    def unit_done(self, stage: str, done: int, failed: int) -> None:
        for watcher in self._watchers:
            watcher.unit_done(stage, done, failed)

    def shard_packed(self, stage: str, shard: int, done: int, failed: int) -> None:
        for watcher in self._watchers:
            watcher.shard_packed(stage, shard, done, failed)

    def event(self, text: str) -> None:
        for watcher in self._watchers:
            watcher.event(text)

    def tick(self, in_hand: Mapping[str, Sequence[InHand]]) -> None:
        for watcher in self._watchers:
            watcher.tick(in_hand)

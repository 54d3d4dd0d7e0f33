"""Several watchers of one job, told one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.watching.watcher import NOTHING, About, InHand, Said, Watcher


class Watchers:
    """Tells each of them what the scheduler tells."""

    def __init__(self, *watchers: Watcher) -> None:
        self._watchers = watchers

    def unit_done(self, stage: str, done: int, failed: int) -> None:
        for watcher in self._watchers:
            watcher.unit_done(stage, done, failed)

    def shard_packed(self, stage: str, shard: int, done: int, failed: int, size: int = 0) -> None:
        for watcher in self._watchers:
            watcher.shard_packed(stage, shard, done, failed, size)

    def event(self, text: str, about: About = NOTHING) -> None:
        for watcher in self._watchers:
            watcher.event(text, about)

    def warned(self, stage: str, shard: int, said: Sequence[Said]) -> None:
        for watcher in self._watchers:
            watcher.warned(stage, shard, said)

    def tick(self, in_hand: Mapping[str, Sequence[InHand]]) -> None:
        for watcher in self._watchers:
            watcher.tick(in_hand)

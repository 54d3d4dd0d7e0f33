"""What the scheduler tells the outside world."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Level = Literal["info", "warning", "error"]
Retried = Literal["scene", "unit", "worker", "setup", "node", "store", "packer"]
"""What is tried again: one scene, a unit in halves, what a worker had that was replaced, a worker's set-up, the unit of
a lost node, the unit that a store was away from, a shard to be written."""


@dataclass(frozen=True)
class InHand:
    """What one worker is at. scenes: of its unit; 0 while it starts. word: the last that its stage has told of how far
    it is, see `stages.stage.StageContext.progress`."""

    scenes: int
    word: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Crew:
    """The workers of a stage: on a unit, being set up, without one. gpus: that each of them holds."""

    busy: int
    starting: int
    idle: int
    gpus: float


@dataclass(frozen=True)
class About:
    """What a sentence is about, for programs. retry: what is tried again, where that is what it tells."""

    stage: str | None = None
    scene_id: str | None = None
    shard: int | None = None
    level: Level = "info"
    retry: Retried | None = None


NOTHING = About()


@dataclass(frozen=True)
class Said:
    """A warning of the code that works on a scene, as its worker sends it. scene_id: None where it does not say which
    of its unit's it means."""

    text: str
    level: Level = "warning"
    scene_id: str | None = None


class Tell(Protocol):
    """Whoever is told a sentence."""

    def __call__(self, text: str, about: About = NOTHING) -> None: ...


class Watcher(Protocol):
    """What the scheduler tells the outside world. size: of the shard's files, in bytes. warned: of the workers' own
    warnings, which may be many."""

    def unit_done(self, stage: str, done: int, failed: int) -> None: ...
    def shard_packed(self, stage: str, shard: int, done: int, failed: int, size: int = 0) -> None: ...
    def event(self, text: str, about: About = NOTHING) -> None: ...
    def warned(self, stage: str, shard: int, said: Sequence[Said]) -> None: ...
    def tick(self, in_hand: Mapping[str, Sequence[InHand]]) -> None: ...

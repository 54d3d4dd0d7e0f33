"""How far a job is: scenes of each stage, how fast they come, how many are left."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

_RATE_WINDOW = 64


@dataclass
class StageCount:
    """Scenes of one stage. `finished`: times of the last units, for the rate."""

    done: int = 0
    failed: int = 0
    working: int = 0
    finished: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=_RATE_WINDOW))

    def add(self, done: int, failed: int, now: float) -> None:
        self.done += done
        self.failed += failed
        self.finished.append((now, done + failed))

    def per_minute(self, now: float) -> float:
        """Scenes a minute over the last units; 0 before there is anything to go by."""
        if len(self.finished) < 2:
            return 0.0
        span = now - self.finished[0][0]
        return 60.0 * sum(count for _, count in list(self.finished)[1:]) / span if span > 0 else 0.0


@dataclass(frozen=True)
class StageState:
    """What there is to say of one stage now. eta_s: seconds, None before there is a rate."""

    name: str
    done: int
    failed: int
    left: int
    working: int
    per_minute: float
    eta_s: float | None


class JobCounts:
    """The counts of a job of `scenes` scenes, stage by stage in their order."""

    def __init__(self, stages: Sequence[str], scenes: int) -> None:
        self.scenes = scenes
        self.stages = {stage: StageCount() for stage in stages}

    def left(self, stage: str) -> int:
        """Scenes that may still reach the end of this stage: all, less those done here and those failed up to here."""
        lost = 0
        for name, count in self.stages.items():
            lost += count.failed
            if name == stage:
                break
        return max(0, self.scenes - lost - self.stages[stage].done)

    def states(self) -> Iterator[StageState]:
        """Every stage as it is now."""
        now = time.monotonic()
        for name, count in self.stages.items():
            left, rate = self.left(name), count.per_minute(now)
            eta = 60.0 * left / rate if rate else None
            yield StageState(name, count.done, count.failed, left, count.working, rate, eta)

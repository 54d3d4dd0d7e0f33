"""Scenes of a stage, and how fast they come."""

from __future__ import annotations

from collections import deque
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

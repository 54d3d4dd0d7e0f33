"""A unit: the scenes that one call of a worker takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Unit:
    """What one call of a worker does: some scenes of one shard, in one stage.

    plan: the scenes' rows of the plan, for the stage that reads them. rounds: table -> committed round to read it from.
    attempt: how often these scenes have been tried before, alone. begun: whether parts of them may be there already.
    """

    stage: str
    shard: int
    round: int
    scene_ids: tuple[str, ...]
    plan: dict[str, dict[str, Any]]
    rounds: dict[str, int] = field(default_factory=dict)
    attempt: int = 0
    begun: bool = True

    def of(self, scene_ids: tuple[str, ...], attempt: int) -> Unit:
        """The same unit for some of its scenes, to be begun again."""
        return Unit(self.stage, self.shard, self.round, scene_ids, self.plan, self.rounds, attempt)

"""Who is to blame when a unit of work ends badly: split a batch until the culprit is alone, then count."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from pipeline.shards.parts import part_name, write_part
from pipeline.shards.unit import Unit
from pipeline.storage.folder import Storage
from pipeline.watching.watcher import About, Tell
from schemas.outcomes import Failure, SceneOutput

LOSSES = 10
"""Nodes that a unit may be lost with. One that takes each node with it is at fault after all."""


@dataclass(frozen=True)
class Verdict:
    """again: units to queue next, in order. failed: the unit of the one scene that has had its last attempt, and
    `failure`, how it ended."""

    again: list[Unit] = field(default_factory=list)
    failed: Unit | None = None
    failure: Failure | None = None


class Blame:
    """Attempts counted per stage and scene, and only when the scene was alone: its batch mates are not at fault."""

    def __init__(self, storage: Storage, max_attempts: int, event: Tell) -> None:
        self.storage, self.max_attempts, self.event = storage, max_attempts, event
        self.attempts: Counter[tuple[str, str]] = Counter()
        self.losses: Counter[tuple[str, str]] = Counter()

    def suspect(self, unit: Unit, error: str, message: str, trace: str | None) -> Verdict:
        """A unit whose process died, hung or raised."""
        count = len(unit.scene_ids)
        if count == 1:
            return self.alone(unit, Failure(unit.scene_ids[0], error, message, trace))
        self.event(
            f"{count} scenes of {unit.stage} failed together ({error}); splitting them",
            About(unit.stage, shard=unit.shard, level="warning", retry="unit"),
        )
        halves = (unit.scene_ids[: count // 2], unit.scene_ids[count // 2 :])
        return Verdict([unit.of(half, unit.attempt) for half in halves])

    def together(self, unit: Unit, failures: list[Failure]) -> Verdict:
        """Scenes that a process failed one by one, by what may be its own fault: tried again without the others."""
        last = failures[-1]
        left = unit.of(tuple(failure.scene_id for failure in failures), unit.attempt)
        return self.alone(left, last) if len(failures) == 1 else self.suspect(left, last.error, last.message, None)

    def excused(self, unit: Unit | None) -> bool:
        """Whether a node that was lost is not to be laid at the unit's door: the first `LOSSES` times it is not."""
        if unit is None:
            return True
        self.losses[unit.stage, unit.scene_ids[0]] += 1
        return self.losses[unit.stage, unit.scene_ids[0]] <= LOSSES

    def alone(self, unit: Unit, failure: Failure) -> Verdict:
        """A failure that is certainly this scene's: one more attempt, or its failure row if it was the last."""
        scene_id = failure.scene_id
        self.attempts[unit.stage, scene_id] += 1
        attempts = self.attempts[unit.stage, scene_id]
        alone = unit.of((scene_id,), attempts)
        if attempts < self.max_attempts:
            self.event(
                f"{unit.stage} of {scene_id} failed alone ({failure.error}), attempt {attempts} of {self.max_attempts}",
                About(unit.stage, scene_id, unit.shard, "warning", "scene"),
            )
            return Verdict([alone])
        final = Failure(scene_id, failure.error, failure.message, failure.traceback, attempts)
        name = part_name(unit.stage, unit.shard, unit.round, scene_id)
        write_part(self.storage, name, SceneOutput(scene_id, failure=final))
        return Verdict(failed=alone, failure=final)

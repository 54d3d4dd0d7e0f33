"""Which round of which shard is committed, which is wanted, and so which shards are settled."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.ledger.commits import Commit, read_commit, rounds
from pipeline.ledger.retries import requested_rounds
from pipeline.storage.folder import Storage

LOOKING = ("ingest", "segment")
"""Stages whose rows name the file and its masks."""
FAILURES = "failures"
"""What is committed last of every shard, under the name of a stage."""


class Ledger:
    """Committed rounds by stage, as listed when it was opened and kept up to date by the run that holds it."""

    def __init__(self, storage: Storage, stages: Sequence[str]) -> None:
        """stages: names of the stages that a shard goes through here, in order. One listing each."""
        self.storage, self.stages = storage, tuple(stages)
        self.rounds = {name: rounds(storage, name) for name in (*self.stages, FAILURES)}
        self.requested = list(requested_rounds(storage))
        self.targets = {shard: found.number for found in self.requested for shard in found.shards}

    def round(self, stage: str, shard: int) -> int | None:
        return self.rounds.setdefault(stage, {}).get(shard)

    def note(self, stage: str, shard: int, round_: int) -> None:
        self.rounds.setdefault(stage, {})[shard] = round_

    def commit(self, stage: str, shard: int) -> Commit | None:
        round_ = self.round(stage, shard)
        return None if round_ is None else read_commit(self.storage, stage, shard, round_)

    def target(self, shard: int) -> int:
        """The round a shard is wanted in: 0, or the last that was asked for."""
        return self.targets.get(shard, 0)

    def again(self, stage: str, shard: int, since: int) -> set[str]:
        """Scenes of the shard whose results of round `since` were asked for anew, their files having changed."""
        later = [found for found in self.requested if found.number > since]
        wanted = {scene for found in later for scene in found.again.get(shard, [])}
        if stage in LOOKING:
            wanted |= {scene for found in later for scene in found.reread.get(shard, [])}
        return wanted

    def revised(self, shard: int, since: int) -> bool:
        """Whether rows of the shard's plan were written anew after round `since`."""
        return any(found.revised and found.number > since and shard in found.shards for found in self.requested)

    def settled(self, shard: int) -> bool:
        """Nothing is left to do, judged by the listings alone: the failures of a shard are committed last."""
        return self.round(FAILURES, shard) == self.target(shard) and all(
            self.round(stage, shard) is not None for stage in self.stages
        )

    def unsettled(self, shards: int) -> list[int]:
        """Of the shards 0 ... `shards` - 1 those that are not settled, in order."""
        return [shard for shard in range(shards) if not self.settled(shard)]

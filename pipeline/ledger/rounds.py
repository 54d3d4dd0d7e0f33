"""Which round of which shard is committed, and which is wanted."""

from __future__ import annotations

from pipeline.ledger.commits import Commit, read_commit
from pipeline.storage.folder import Storage


class Ledger:
    """Committed rounds by stage, as listed once when the run starts and kept up to date by it."""

    def __init__(self, storage: Storage, rounds: dict[str, dict[int, int]], targets: dict[int, int]) -> None:
        self.storage, self.rounds, self.targets = storage, rounds, targets

    def round(self, stage: str, shard: int) -> int | None:
        return self.rounds.setdefault(stage, {}).get(shard)

    def note(self, stage: str, shard: int, round_: int) -> None:
        self.rounds.setdefault(stage, {})[shard] = round_

    def commit(self, stage: str, shard: int) -> Commit | None:
        round_ = self.round(stage, shard)
        return None if round_ is None else read_commit(self.storage, stage, shard, round_)

    def target(self, shard: int) -> int:
        """The round a shard is wanted in: 0, or that of its last `unscene retry`."""
        return self.targets.get(shard, 0)

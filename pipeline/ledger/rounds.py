"""Which round of which shard is committed, which is wanted, and so which shards are settled."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from pipeline.ledger.commits import Commit, read_sized
from pipeline.ledger.committed import Committed
from pipeline.ledger.retries import requested_rounds
from pipeline.storage.folder import Storage

LOOKING = ("ingest", "segment")
"""Stages whose rows name the file and its masks."""
FAILURES = "failures"
"""What is committed last of every shard, under the name of a stage."""
_KEPT = 1_000_000
"""Scenes whose commits are kept, about 80 bytes each: a shard on its way is looked at once a stage, in all the stages
before it, and a read is a turn of the scheduler's loop in which no worker is given anything."""


class Ledger:
    """Committed rounds by stage, as listed when it was opened and kept up to date by the run that holds it."""

    def __init__(self, storage: Storage, stages: Sequence[str]) -> None:
        """stages: names of the stages that a shard goes through here, in order. One listing each."""
        self.storage, self.stages = storage, tuple(stages)
        self.committed = Committed(storage, (*self.stages, FAILURES))
        self.rounds = {name: self.committed.rounds(name) for name in self.committed.stages}
        self._commits: OrderedDict[tuple[str, int, int], Commit] = OrderedDict()
        self._kept = 0
        self.look_for_requests()

    def look_for_requests(self) -> None:
        """Reads anew which rounds were asked for."""
        self.requested = list(requested_rounds(self.storage))
        self.targets = {shard: found.number for found in self.requested for shard in found.shards}

    def round(self, stage: str, shard: int) -> int | None:
        return self.rounds.setdefault(stage, {}).get(shard)

    def note(self, stage: str, shard: int, round_: int, told: tuple[Commit, int] | None = None) -> None:
        """A commit that this run has made. told: as whoever made it has told, with the bytes of its file, so that
        nobody need read it."""
        self.rounds.setdefault(stage, {})[shard] = round_
        self.committed.note(stage, shard, round_, told)
        if told is not None and stage != FAILURES:  # of which nobody asks what is in it
            self._keep((stage, shard, round_), told[0])

    def commit(self, stage: str, shard: int) -> Commit | None:
        """Without the members of its tar, which take most of it. Read once, for as long as there is room."""
        round_ = self.round(stage, shard)
        if round_ is None:
            return None
        place = stage, shard, round_
        if place not in self._commits:
            found, size = read_sized(self.storage, *place)
            self.committed.saw(found, size)
            self._keep(place, found)
        self._commits.move_to_end(place)
        return self._commits[place]

    def _keep(self, place: tuple[str, int, int], record: Commit) -> None:
        self._commits[place] = record.without_members()
        self._kept += _scenes(record)
        while self._kept > _KEPT and len(self._commits) > 1:
            self._kept -= _scenes(self._commits.popitem(last=False)[1])

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


def _scenes(record: Commit) -> int:
    return len(record.done) + len(record.failures)

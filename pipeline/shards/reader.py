"""Reading an OUTPUT: what is committed of its scenes, by a few columns of tables and ranged reads into tars.

Tables that an earlier OUTPUT holds (`source.handles`) are read from there, so that whoever reads need not know which is
which.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from functools import lru_cache
from typing import Any

from pipeline.ledger.commits import Commit, commits_of, read_commit, rounds
from pipeline.shards.tables import read_rows
from pipeline.shards.tars import owner_of, tar_name
from pipeline.stage_kinds import AFTER_HANDLES, STAGE_OF
from pipeline.storage.folder import Storage

UNREADABLE = (OSError, ValueError, KeyError)
"""What reading raises of a shard that is damaged, gone, or committed a moment ago and not published yet. Arrow's own
errors are ValueErrors."""
_COMMITS = 16

Row = dict[str, Any]
Members = dict[str, list[int]]
"""Name of a tar's member -> [offset, size]."""


class OutputReader:
    """storage: the OUTPUT; earlier: the one that holds scenes, concepts and handles, if it is another.

    Rounds are listed once a table, when it is first asked for. A few commits are kept: one of a large shard is a
    megabyte.
    """

    def __init__(self, storage: Storage, earlier: Storage | None = None) -> None:
        self.storage, self.earlier = storage, earlier
        self._rounds: dict[str, dict[int, int]] = {}
        self._read_commit = lru_cache(maxsize=_COMMITS)(
            lambda table, shard, round_: read_commit(self.home(table), STAGE_OF[table], shard, round_)
        )

    def home(self, table: str) -> Storage:
        """The OUTPUT that a table is read from."""
        return self.earlier if self.earlier is not None and table not in AFTER_HANDLES else self.storage

    def own(self, table: str) -> bool:
        """Whether the table was made by this OUTPUT's own job."""
        return self.home(table) is self.storage

    def shards(self, table: str) -> list[int]:
        """Shards of the table that are committed, in order."""
        return sorted(self._latest(table))

    def commit(self, table: str, shard: int, round_: int | None = None) -> Commit | None:
        """The commit of one shard of a table: its latest, or that of `round_`; None where nothing is committed."""
        round_ = self._latest(table).get(shard) if round_ is None else round_
        return None if round_ is None else self._read_commit(table, shard, round_)

    def rows(
        self, table: str, shard: int, scene_ids: Sequence[str] | None = None, columns: list[str] | None = None
    ) -> dict[str, list[Row]]:
        """Scene -> its rows in one shard, in file order; of some scenes or of all. The rows of duplicate files, which
        carry the id of the scene that they repeat, are left out. columns: `scene_id` is among them.

        Raises one of `UNREADABLE`.
        """
        found: dict[str, list[Row]] = {}
        if columns is not None and table == "scenes":
            columns = [*columns, "status"]  # which tells duplicates
        for row in read_rows(self.home(table), table, shard, scene_ids, columns):
            if row.get("status") != "duplicate":
                found.setdefault(row["scene_id"], []).append(row)
        return found

    def member(self, table: str, commit: Commit, name: str) -> bytes:
        """One file of a shard's tar. Raises KeyError where the commit has none of that name, or OSError."""
        return self.home(table).read_range(tar_name(table, commit.shard), *commit.members[name])

    def files(self, table: str, shard: int, members: Members) -> dict[str, bytes]:
        """Some members of a shard's tar that lie together, as a scene's do, in one read."""
        start = min(offset for offset, _ in members.values())
        end = max(offset + size for offset, size in members.values())
        data = self.home(table).read_range(tar_name(table, shard), start, end - start)
        return {name: data[offset - start : offset - start + size] for name, (offset, size) in members.items()}

    def find(self, table: str, beginning: str) -> Iterator[tuple[str, int]]:
        """(scene_id, shard) of every scene with results whose id begins so, in the order of shards."""
        for record in commits_of(self.home(table), STAGE_OF[table]):
            yield from ((scene_id, record.shard) for scene_id in record.done if scene_id.startswith(beginning))

    def _latest(self, table: str) -> dict[int, int]:
        if table not in self._rounds:
            self._rounds[table] = rounds(self.home(table), STAGE_OF[table])
        return self._rounds[table]


def by_scene(commit: Commit, scenes: Container[str]) -> dict[str, Members]:
    """Scene -> its members in the shard's tar; of these scenes only."""
    found: dict[str, Members] = {}
    for name, place in commit.members.items():
        owner = owner_of(name)
        if owner in scenes:
            found.setdefault(owner, {})[name] = place
    return found

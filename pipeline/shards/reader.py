"""Reading an OUTPUT: what is committed of its scenes, by a few columns of tables and ranged reads into tars.

Tables that an earlier OUTPUT holds (`source.handles`) are read from there, so that whoever reads need not know which is
which.

Under a plain name lies the file of one round or the next: while a later round is published, or an earlier commit is
still in a reader's hand, name and commit are of two. So what is read is held against the commit: a member of a tar by
its CRC-32, a table by its hash.
"""

from __future__ import annotations

import hashlib
import io
import zlib
from collections.abc import Callable, Container, Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from pipeline.ledger.commits import Commit, ShardFile, commits_of, read_commit, rounds
from pipeline.shards.tables import read_rows, rows_in
from pipeline.shards.tars import owner_of, tar_name
from pipeline.stage_kinds import AFTER_HANDLES, STAGE_OF
from pipeline.storage.folder import Storage

UNREADABLE = (OSError, ValueError, KeyError)
"""What reading raises of a shard that is damaged, gone, or committed a moment ago and not published yet."""
_COMMITS = 16

Found = TypeVar("Found")
Row = dict[str, Any]
Members = dict[str, list[int]]
"""Name of a tar's member -> [offset, size]."""


class NotAsCommitted(OSError):
    """A file is not the one that the commit in hand names: another round has its name, or it is damaged."""


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
        self,
        table: str,
        shard: int,
        scene_ids: Sequence[str] | None = None,
        columns: list[str] | None = None,
        round_: int | None = None,
    ) -> dict[str, list[Row]]:
        """Scene -> its rows in one shard, in file order; of some scenes or of all. The rows of duplicate files, which
        carry the id of the scene that they repeat, are left out. columns: `scene_id` is among them. round_: as for
        `commit`.

        Raises one of `UNREADABLE`.
        """
        found: dict[str, list[Row]] = {}
        if columns is not None and table == "scenes":
            columns = [*columns, "status"]  # which tells duplicates
        for row in self._rows(table, shard, self.commit(table, shard, round_), scene_ids, columns):
            if row.get("status") != "duplicate":
                found.setdefault(row["scene_id"], []).append(row)
        return found

    def table(self, table: str, shard: int) -> list[Row]:
        """All rows of one shard, those of duplicate files too. Raises one of `UNREADABLE`."""
        return self._rows(table, shard, self.commit(table, shard), None, None)

    def member(self, table: str, commit: Commit, name: str) -> bytes:
        """One file of a shard's tar. Raises KeyError where the commit has none of that name, or OSError."""
        return self.files(table, commit, {name: commit.members[name]})[name]

    def files(self, table: str, commit: Commit, members: Members) -> dict[str, bytes]:
        """Some members of a shard's tar that lie together, as a scene's do, in one read. Raises OSError."""
        start = min(offset for offset, _ in members.values())
        end = max(offset + size for offset, size in members.values())

        def read(name: str) -> dict[str, bytes] | None:
            data = self.home(table).read_range(name, start, end - start)
            found = {member: data[at - start : at - start + size] for member, (at, size) in members.items()}
            known = commit.sums
            whole = all(zlib.crc32(content) == known[member] for member, content in found.items() if member in known)
            return found if whole else None

        return _of_its_commit(read, commit, tar_name(table, commit.shard))

    def find(self, table: str, beginning: str) -> Iterator[tuple[str, int]]:
        """(scene_id, shard) of every scene with results whose id begins so, in the order of shards."""
        for record in commits_of(self.home(table), STAGE_OF[table]):
            yield from ((scene_id, record.shard) for scene_id in record.done if scene_id.startswith(beginning))

    def _rows(
        self, table: str, shard: int, commit: Commit | None, scene_ids: Sequence[str] | None, columns: list[str] | None
    ) -> list[Row]:
        home = self.home(table)
        if commit is None:
            return read_rows(home, table, shard, scene_ids, columns)
        file: ShardFile = commit.files[0]

        def read(name: str) -> list[Row] | None:
            data = home.read(name)  # whole, whatever is asked of it: a megabyte, and its hash tells the rest
            whole = hashlib.sha256(data).hexdigest() == file.sha256
            return rows_in(io.BytesIO(data), scene_ids, columns) if whole else None

        return _of_its_commit(read, commit, file.path)

    def _latest(self, table: str) -> dict[int, int]:
        if table not in self._rounds:
            self._rounds[table] = rounds(self.home(table), STAGE_OF[table])
        return self._rounds[table]


def _of_its_commit(read: Callable[[str], Found | None], commit: Commit, name: str) -> Found:
    """What `read` gets of a file of the commit, which lies under its plain name, or where the attempt has written it
    and it is not published yet. read: None where what is there is another's. Raises one of `UNREADABLE`."""
    unpublished = f"{commit.folder}/{name.rsplit('/', 1)[1]}"
    fault: Exception | None = None
    for place in (name, unpublished, name):  # the last: it was published, and swept, since the first look
        try:
            if (found := read(place)) is not None:
                return found
            fault = NotAsCommitted(
                f"{name} is not what was committed as round {commit.round}: a later round took its place, or it is "
                "damaged; look again, which reads the later one, and restore it if that does not help"
            )
        except FileNotFoundError as error:
            fault = fault or error
        except UNREADABLE as error:  # past the end of a shorter file, or a store that does not answer
            if place == unpublished or fault is not None:
                raise
            fault = error
    assert fault is not None
    raise fault


def by_scene(commit: Commit, scenes: Container[str]) -> dict[str, Members]:
    """Scene -> its members in the shard's tar; of these scenes only."""
    found: dict[str, Members] = {}
    for name, place in commit.members.items():
        owner = owner_of(name)
        if owner in scenes:
            found.setdefault(owner, {})[name] = place
    return found

"""The handles of an OUTPUT as `unscene export` reads them: which scenes have some, and why the others have none."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterator

from pipeline.ledger.commits import Commit
from pipeline.ledger.plan import read_plan
from pipeline.ledger.run_record import recorded_spec
from pipeline.ledger.scene_names import base_of, uris_of
from pipeline.ledger.withdrawals import FOLDER
from pipeline.shards.reader import OutputReader, Row
from pipeline.storage.folder import Storage
from pipeline.watching.snapshot import command_of, read_snapshot

_UNTIL_HANDLES = ("scenes", "concepts", "handles")


class HandleSource:
    """storage: of an OUTPUT; where its job drew pictures of given handles, they are read from the OUTPUT that has them.

    shards: scene with handles -> its shard; uris: those scenes -> the addresses of their files; withdrawn: ids of
    scenes that are to go nowhere. Raises OutputError when there is no job.
    """

    def __init__(self, storage: Storage) -> None:
        given = recorded_spec(storage).source.handles
        self.reader = OutputReader(storage, Storage(given) if given else None)
        self.home = self.reader.home("handles")
        self.shards = dict(self.reader.find("handles", ""))
        self.plan = read_plan(self.home)
        self.uris = uris_of(self.plan, self.shards)
        marks = {home.url: frozenset(home.names(FOLDER)) for home in (storage, self.home)}
        self._marks = marks
        self.withdrawn = frozenset[str]().union(*marks.values())
        self._base = base_of(self.plan, recorded_spec(self.home).source.uri)

    def path(self, uris: list[str]) -> str:
        """The path of a scene's file below the source: many a file may be called img.jpg."""
        return uris[0].removeprefix(self._base) if uris else "its file has changed since"

    def undo(self, scene_id: str) -> str:
        """How a withdrawn scene is wanted again: by its mark in this OUTPUT, or in the one that has the handles."""
        marked = [shlex.quote(url) for url, scenes in self._marks.items() if scene_id in scenes]
        undone = " and ".join(f"`unscene withdraw {url} --scene {scene_id} --undo`" for url in marked)
        return f"it is withdrawn; {undone} wants it again"

    def commit(self, shard: int) -> Commit:
        """The handles' commit of a shard that has some."""
        found = self.reader.commit("handles", shard)
        assert found is not None
        return found

    def files(self, scene_id: str) -> tuple[bytes, Row]:
        """The scene's .safetensors, and the content of its .json. Raises one of `UNREADABLE`."""
        commit = self.commit(self.shards[scene_id])
        weights, info = (
            self.reader.member("handles", commit, f"{scene_id}.{kind}") for kind in ("safetensors", "json")
        )
        return weights, json.loads(info)

    def without(self) -> Iterator[tuple[str, str, str]]:
        """(scene_id, address, why) of every scene of the plan that has no handles, a shard's at a time."""
        not_yet = f"it is not through extract yet; `{command_of(read_snapshot(self.home))}` goes on"
        for shard in range(self.plan.shards):
            lost = {
                row["scene_id"]: f"it failed in {row['stage']} ({row['error']}: {' '.join(row['message'].split())})"
                for table in _UNTIL_HANDLES
                if (commit := self.reader.commit(table, shard)) is not None
                for row in commit.failures
            }
            for row in self.plan.rows(shard):
                scene_id = row["scene_id"]
                if row["duplicate_of"] is None and scene_id not in self.shards:
                    yield scene_id, row["uri"], lost.get(scene_id, not_yet)


def stamp_of(rows: list[Row]) -> str:
    """What tells a scene's handles from those of another training: a hash of its rows of `handles`."""
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()

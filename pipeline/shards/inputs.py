"""What a worker reads for a unit of work: rows and files of its scenes, from committed shards, by ranged reads."""

from __future__ import annotations

from collections.abc import Container
from functools import lru_cache

from pipeline.ledger.commits import Commit, read_commit
from pipeline.shards.tables import read_rows
from pipeline.shards.tars import owner_of, tar_name
from pipeline.shards.unit import Unit
from pipeline.stage_kinds import AFTER_HANDLES, STAGE_OF
from pipeline.storage.folder import Storage
from schemas.records import SceneTask


class Inputs:
    """Reads tasks from an OUTPUT; tables that an earlier OUTPUT holds are read from there."""

    def __init__(self, storage: Storage, earlier: Storage | None = None) -> None:
        self.storage = storage
        self.earlier = earlier
        self._commit = lru_cache(maxsize=8)(self._read_commit)

    def tasks(self, unit: Unit, needs: tuple[str, ...], files: tuple[str, ...]) -> list[SceneTask]:
        """One task per scene of the unit, in order, with the rows of `needs` and the tar members of `files`."""
        tasks = {scene_id: SceneTask(scene_id) for scene_id in unit.scene_ids}
        for table in needs:
            if table == "plan":
                for scene_id, task in tasks.items():
                    task.rows["plan"] = [unit.plan[scene_id]]
                continue
            for row in read_rows(self._home(table), table, unit.shard, unit.scene_ids):
                tasks[row["scene_id"]].rows.setdefault(table, []).append(row)
        for table in files:
            for scene_id, members in self._members(table, unit, tasks).items():
                tasks[scene_id].files.update(self._read(table, unit.shard, scene_id, members))
        return list(tasks.values())

    def _members(self, table: str, unit: Unit, scenes: Container[str]) -> dict[str, dict[str, list[int]]]:
        """Scene -> its members in the shard's tar -> [offset, size]."""
        found: dict[str, dict[str, list[int]]] = {}
        for name, place in self._commit(table, unit.shard, unit.rounds[table]).members.items():
            owner = owner_of(name)
            if owner in scenes:
                found.setdefault(owner, {})[name] = place
        return found

    def _read(self, table: str, shard: int, scene_id: str, members: dict[str, list[int]]) -> dict[str, bytes]:
        """What follows the scene's id in a member's name -> its bytes. One read: a scene's members lie together."""
        start = min(offset for offset, _ in members.values())
        end = max(offset + size for offset, size in members.values())
        data = self._home(table).read_range(tar_name(table, shard), start, end - start)
        return {
            name[len(scene_id) + 1 :]: data[offset - start : offset - start + size]
            for name, (offset, size) in members.items()
        }

    def _home(self, table: str) -> Storage:
        return self.earlier if self.earlier is not None and table not in AFTER_HANDLES else self.storage

    def _read_commit(self, table: str, shard: int, round_: int) -> Commit:
        return read_commit(self._home(table), STAGE_OF[table], shard, round_)

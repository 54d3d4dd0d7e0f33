"""What a worker reads for a unit of work: rows and files of its scenes."""

from __future__ import annotations

from pipeline.shards.reader import OutputReader, by_scene
from pipeline.shards.unit import Unit
from pipeline.storage.folder import Storage
from schemas.outcomes import SceneTask


class Inputs:
    """Reads tasks from an OUTPUT; tables that an earlier OUTPUT holds are read from there."""

    def __init__(self, storage: Storage, earlier: Storage | None = None) -> None:
        self._reader = OutputReader(storage, earlier)

    def tasks(self, unit: Unit, needs: tuple[str, ...], files: tuple[str, ...]) -> list[SceneTask]:
        """One task per scene of the unit, in order, with the rows of `needs` and the tar members of `files`. A file is
        known by what follows the scene's id in its name."""
        tasks = {scene_id: SceneTask(scene_id) for scene_id in unit.scene_ids}
        for table in needs:
            if table == "plan":
                for scene_id, task in tasks.items():
                    task.rows["plan"] = [unit.plan[scene_id]]
                continue
            for scene_id, rows in self._reader.rows(
                table, unit.shard, unit.scene_ids, round_=unit.rounds.get(table)
            ).items():
                tasks[scene_id].rows[table] = rows
        for table in files:
            commit = self._reader.commit(table, unit.shard, unit.rounds[table])
            assert commit is not None, f"{table}: shard {unit.shard} is not committed"
            for scene_id, members in by_scene(commit, tasks).items():
                found = self._reader.files(table, commit, members)
                tasks[scene_id].files.update({name[len(scene_id) + 1 :]: data for name, data in found.items()})
        return list(tasks.values())

"""An OUTPUT, opened: its scenes, its tables, and the base that its handles were learned on."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from pipeline.ledger.commits import Commit, restored
from pipeline.ledger.run_record import recorded_spec
from pipeline.ledger.scene_names import find_scenes
from pipeline.shards.reader import UNREADABLE, OutputReader, Row
from pipeline.stage_kinds import STAGE_OF
from pipeline.storage.folder import Storage
from schemas.errors import CommandError, OutputError
from schemas.job import JobSpec
from unscene.scene import Scene


def open(output: str) -> Output:
    """OUTPUT of a job, finished or at work: a folder, or any address that fsspec knows.

    Raises OutputError where there is no job.
    """
    return Output(str(output))


class Output:
    """What is committed of a job at this moment; open it again to see what has come since. spec: with every default
    filled in."""

    def __init__(self, url: str) -> None:
        self.storage = Storage(url)
        self.spec: JobSpec = recorded_spec(self.storage)
        given = self.spec.source.handles
        self._reader = OutputReader(self.storage, Storage(given) if given else None)

    @property
    def url(self) -> str:
        return self.storage.url

    @property
    def source(self) -> str | None:
        """Where the pictures were: `source.uri` of this job, or of the one whose handles it uses."""
        return recorded_spec(self._reader.home("scenes")).source.uri

    def __repr__(self) -> str:
        return f"unscene.open({self.url!r})"

    def scenes(self) -> list[Scene]:
        """Every scene that has been read, the failed ones too, in the order of the plan; a file that repeats another is
        no scene of its own."""
        return [
            Scene(self, scene_id, shard, found[0])
            for shard in self._reader.shards("scenes")
            for scene_id, found in self._shard_rows("scenes", shard, None).items()
        ]

    def scene(self, name: str) -> Scene:
        """The scene of a file name, with or without its ending, of the path or folder of its file, or of the beginning
        of an id.

        Raises CommandError where none or several are called so.
        """
        scenes = self.scenes()
        called = [scene for scene in scenes if name in (scene.name, PurePosixPath(scene.name).stem, scene.id)]
        if not called and name:
            found = find_scenes(name, {scene.id: [scene.uri] for scene in scenes})
            called = [scene for scene in scenes if scene.id in found]
        if len(called) == 1:
            return called[0]
        if called:
            several = ", ".join(f"{scene.id} ({scene.uri})" for scene in called)
            raise CommandError(
                f"{name}: {len(called)} scenes of {self.url} are called so; take one by its id: {several}"
            )
        raise CommandError(f"{name}: no scene of {self.url} is called so; scenes() lists them")

    def rows(self, table: str) -> list[Row]:
        """A whole table as rows, column name to value: scenes, concepts, handles, variations or scores.

        Raises CommandError for another name, OutputError where a file cannot be read.
        """
        if table not in STAGE_OF:
            raise CommandError(f"{table}: no table; there are {', '.join(STAGE_OF)}")
        found: list[Row] = []
        for shard in self._reader.shards(table):
            try:
                found += self._reader.table(table, shard)
            except UNREADABLE as error:
                raise self._unreadable(table, shard, error) from error
        return found

    def pipeline(self, **options: Any) -> Any:
        """The job's base as a diffusers pipeline, on the CPU in float32 where options do not say otherwise.

        options: for `from_pretrained`, such as torch_dtype; `.to("cuda")` moves what comes back. Raises SpecError where
        the base is not there.
        """
        from stages.handles.diffusers_pipeline import base_pipeline

        return base_pipeline(self.spec.models.base, self.spec.models.revision, **options)

    def of_scene(self, table: str, scene: Scene) -> list[Row]:
        """A scene's rows of one table, in their order; none where that stage has not made it (yet)."""
        if self._reader.commit(table, scene.shard) is None:
            return []
        return self._shard_rows(table, scene.shard, [scene.id]).get(scene.id, [])

    def file(self, table: str, scene: Scene, name: str) -> bytes:
        """One file of a table's tar. Raises CommandError where the scene has none of that name."""
        commit = self._reader.commit(table, scene.shard)
        if commit is None or name not in commit.members:
            raise CommandError(f"{scene.id} ({scene.name}): there is no {name} among its {table}: {self._why(scene)}")
        try:
            return self._reader.member(table, commit, name)
        except UNREADABLE as error:
            raise self._unreadable(table, scene.shard, error) from error

    def failure(self, scene: Scene) -> Row | None:
        """Its row of `failures`, where a stage of this job, or of the one whose handles it uses, could not do it."""
        for commit in self._commits(scene.shard):
            for row in commit.failures:
                if row["scene_id"] == scene.id:
                    return row
        return None

    def _commits(self, shard: int) -> list[Commit]:
        found = [self._reader.commit(table, shard) for table in STAGE_OF]
        return [commit for commit in found if commit is not None]

    def _why(self, scene: Scene) -> str:
        failed = self.failure(scene)
        return f"it failed ({failed['message']})" if failed else "not made, or not yet"

    def _shard_rows(self, table: str, shard: int, scenes: list[str] | None) -> dict[str, list[Row]]:
        try:
            return self._reader.rows(table, shard, scenes)
        except UNREADABLE as error:
            raise self._unreadable(table, shard, error) from error

    def _unreadable(self, table: str, shard: int, error: Exception) -> OutputError:
        home, commit = self._reader.home(table), self._reader.commit(table, shard)
        place = None if commit is None else (commit.stage, commit.shard, commit.round)
        return OutputError(
            f"{home.url}: shard {shard} of {table} cannot be read ({type(error).__name__}: {error}); "
            f"{restored(home, place)}"
        )

"""`unscene export --scene`: one scene's handles out of their shard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipeline.export.source import HandleSource, stamp_of
from pipeline.ledger.scene_names import find_scenes, one_scene, uris_of
from pipeline.shards.reader import UNREADABLE, NotAsCommitted, Row
from pipeline.storage.folder import Storage
from schemas.errors import CommandError, SceneError
from stages.handles.exported_scene import README, foreign_readme

UNREAD = "its handles cannot be read"


def export_from(storage: Storage, scene: str, folder: Path) -> Iterator[str]:
    """Writes the files for diffusers of the scene that `scene` means under `folder`; yields what to tell.

    scene: an id, the beginning of one, a file's name or that without its ending, or the name of its folder.
    Raises OutputError when there is no job, CommandError when no scene with handles, or more than one, is meant, or
    when `folder` cannot be written to.
    """
    source = HandleSource(storage)
    check_folder(folder)
    scene_id = _meant(source, scene)
    if scene_id in source.withdrawn:
        raise CommandError(f"--scene {scene}: {scene_id}: {source.undo(scene_id)}")
    try:
        rows = source.reader.rows("handles", source.shards[scene_id], [scene_id]).get(scene_id, [])
    except UNREADABLE as error:
        raise CommandError(f"--scene {scene}: {scene_id}: {cannot_be_read(error)}") from error
    fault = write_scene(source, scene_id, rows, folder)
    if fault is not None:
        raise CommandError(f"--scene {scene}: {scene_id}: {fault}")
    tokens = ", ".join(row["token"] for row in rows)
    what = f"{scene_id} ({source.path(source.uris[scene_id])})"
    shown = left_readme(folder) or f"{folder / README} shows how to load them"
    yield f"{what}: handles {tokens} in {folder}; {shown}"


def left_readme(folder: Path) -> str | None:
    """What to tell of a README.md in the folder that no export wrote; None where there is none."""
    if not foreign_readme(folder):
        return None
    return (
        f"{folder / README} is not, or no longer, one that an export wrote, so it was left as it is; move it away, and "
        "the same command writes one that shows how to load them"
    )


def write_scene(source: HandleSource, scene_id: str, rows: list[Row], folder: Path) -> str | None:
    """Writes one scene's files, `rows` being its rows of `handles`; returns why not, where it is the scene's fault.

    Raises CommandError where `folder` cannot be written to, SpecError where the base is needed and not there.
    """
    from stages.handles.diffusers_files import export_scene  # loads torch: a mistake is told before

    if not rows:
        return cannot_be_read(KeyError("no rows in the table"))
    try:
        weights, info = source.files(scene_id)
    except UNREADABLE as error:
        return cannot_be_read(error)
    try:
        export_scene(weights, info, folder, made_of=stamp_of(rows))
    except SceneError as error:
        return str(error)
    except OSError as error:
        raise cannot_be_written(folder, error) from error
    return None


def cannot_be_read(error: Exception) -> str:
    """What is wrong with a scene whose shard is damaged or gone."""
    if isinstance(error, NotAsCommitted):
        return f"{UNREAD}: {error}"
    return f"{UNREAD} ({type(error).__name__}: {error})"


def cannot_be_written(folder: Path, error: OSError) -> CommandError:
    """For a full disk, a folder that is not ours, and the like."""
    return CommandError(
        f"--to {folder}: cannot be written ({type(error).__name__}: {error}); make room or name another folder, and "
        "type the same command"
    )


def check_folder(folder: Path) -> None:
    """Raises CommandError where `folder` is a file."""
    if folder.exists() and not folder.is_dir():
        raise CommandError(f"--to {folder}: a file of that name is there; name a folder")


def _meant(source: HandleSource, scene: str) -> str:
    """The scene with handles that `scene` means. One without is told with its reason."""
    plan = source.plan
    everyone = {**uris_of(plan, plan.table.column("scene_id").to_pylist()), **source.uris}
    found = find_scenes(scene, everyone)
    learned = [scene_id for scene_id in found if scene_id in source.uris]
    if len(found) == 1 and not learned:
        why = next(why for scene_id, _, why in source.without() if scene_id == found[0])
        raise CommandError(f"--scene {scene}: {found[0]} ({everyone[found[0]][0]}) has no handles to export: {why}")
    names = {scene_id: everyone[scene_id] for scene_id in learned or found}
    return one_scene(scene, names, "scene with handles", source.home.url)

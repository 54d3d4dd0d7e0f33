"""`unscene export --all`: every scene with handles, a folder each, and a README that shows several in one pipeline.

A folder that holds the same handles already is left as it is, so the same command goes on where one was stopped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from pipeline.export.handles import UNREAD, cannot_be_read, cannot_be_written, check_folder, left_readme, write_scene
from pipeline.export.source import HandleSource, stamp_of
from pipeline.ledger.commits import restored
from pipeline.shards.reader import UNREADABLE, Row
from pipeline.shards.tars import tar_name
from pipeline.storage.folder import Storage
from pipeline.wording import counted
from schemas.errors import CommandError
from stages.handles.diffusers_readme import MOST_LISTED, scenes_readme
from stages.handles.exported_scene import README, read_exported
from stages.handles.file_names import stem_of

_SHOWN_TOGETHER = 2
_NAMED = 3


def export_all(storage: Storage, folder: Path) -> Iterator[str]:
    """Writes the scenes under `folder`, named by their ids; yields a line for each that is written or left out, and
    the count. A scene that cannot be read is left out, and the others go on.

    Raises OutputError when there is no job, CommandError when no scene has handles or `folder` cannot be written to,
    and, once all the others are written, where handles cannot be read; SpecError where a scene with weights of its own
    needs its base and that is gone.
    """
    source = HandleSource(storage)
    check_folder(folder)
    if not source.shards:
        raise CommandError(f"--all: no scene under {source.home.url} has handles; `unscene status` says how far it is")
    written = left_out = 0
    whole: list[str] = []
    damaged = Counter[int]()
    for scene_id, rows, fault in _scenes(source):
        found = read_exported(folder / scene_id)
        if scene_id in source.withdrawn:
            left_out += 1
            before = f"; {folder / scene_id} has its files of before" if found is not None else ""
            yield f"{scene_id} ({source.path(source.uris[scene_id])}): left out, {source.undo(scene_id)}{before}"
            continue
        if rows and found is not None and found.made_of == stamp_of(rows):
            whole.append(scene_id)
            continue
        fault = fault or write_scene(source, scene_id, rows, folder / scene_id)
        name = source.path(source.uris[scene_id])
        if fault is None:
            whole.append(scene_id)
            written += 1
            left = left_readme(folder / scene_id)
            yield f"{scene_id} ({name}): handles {', '.join(row['token'] for row in rows)}{f'; {left}' if left else ''}"
        else:
            left_out += 1
            if fault.startswith(UNREAD):
                damaged.update([source.shards[scene_id]])
            yield f"{scene_id} ({name}): left out, {fault}"
    for scene_id, uri, why in source.without():
        left_out += 1
        yield f"{scene_id} ({source.path([uri])}): left out, {why}"
    counts = f"{written:,} written, {len(whole) - written:,} there already, {left_out:,} left out"
    if not whole:
        raise CommandError(
            f"--all: no scene under {source.home.url} could be exported ({counts}){_remedies(source, damaged)}"
        )
    alike = sorted(stem for stem, count in Counter(map(stem_of, whole)).items() if count > 1)
    if alike:
        yield (
            f"several scenes begin with {', '.join(alike[:_NAMED])}{' ...' if alike[_NAMED:] else ''}: their files are "
            "called alike, so give each a folder of its own in other tools too"
        )
    shown = left_readme(folder) or f"{_write_readme(source, folder, whole)} shows how to load them"
    yield f"{counted(len(whole), 'scene')} in {folder} ({counts}); {shown}"
    if damaged:
        raise CommandError(
            f"--all: handles of {counted(damaged.total(), 'scene')} cannot be read{_remedies(source, damaged)}"
        )


def _remedies(source: HandleSource, damaged: Iterable[int]) -> str:
    """What to do about shards whose files are damaged; the first few."""
    commits = [source.commit(shard) for shard in sorted(damaged)[:_NAMED]]
    said = [
        f"{tar_name('handles', one.shard)}: {restored(source.home, (one.stage, one.shard, one.round))}"
        for one in commits
    ]
    return "; " + "; ".join(said) if said else ""


def _scenes(source: HandleSource) -> Iterator[tuple[str, list[Row], str | None]]:
    """(scene_id, its rows of `handles`, what is wrong with its shard) of all scenes with handles, a shard at a time."""
    for shard in sorted(set(source.shards.values())):
        rows: dict[str, list[Row]] = {}
        fault = None
        try:
            rows = source.reader.rows("handles", shard)
        except UNREADABLE as error:
            fault = cannot_be_read(error)
        for scene_id in source.commit(shard).done:
            yield scene_id, rows.get(scene_id, []), fault


def _write_readme(source: HandleSource, folder: Path, scenes: list[str]) -> Path:
    found = (read_exported(folder / scene_id) for scene_id in scenes)
    together = list(islice((scene for scene in found if scene is not None and scene.shares), _SHOWN_TOGETHER))
    listed = [(scene_id, source.path(source.uris[scene_id])) for scene_id in scenes[:MOST_LISTED]]
    readme = folder / README
    try:
        text = scenes_readme(together, listed, len(scenes))
        readme.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise cannot_be_written(folder, error) from error
    return readme

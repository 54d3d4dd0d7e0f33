"""`unscene export`: one scene's handles out of their shard."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.ledger.run_record import read_record
from pipeline.shards.reader import OutputReader
from pipeline.storage.folder import Storage
from schemas.errors import CommandError


def export_from(storage: Storage, scene: str, folder: Path) -> list[str]:
    """Writes the files for diffusers of the scene whose id begins with `scene` under `folder`; returns what to tell.

    Raises OutputError when there is no job, CommandError when no scene, or more than one, begins so, or when `folder`
    is a file.
    """
    read_record(storage)
    if folder.exists() and not folder.is_dir():
        raise CommandError(f"--to {folder}: a file of that name is there; name a folder")
    reader = OutputReader(storage)
    found = list(reader.find("handles", scene))
    if len(found) != 1:
        what = "no scene with handles begins" if not found else f"{len(found)} scenes begin"
        raise CommandError(f"--scene {scene}: {what} so under {storage.url}; ids are in handles/*.parquet")
    from stages.handles.diffusers_files import export_scene  # loads torch: a mistake is told before

    scene_id, shard = found[0]
    commit = reader.commit("handles", shard)
    assert commit is not None
    weights, info = (reader.member("handles", commit, f"{scene_id}.{kind}") for kind in ("safetensors", "json"))
    export_scene(weights, json.loads(info), folder)
    tokens = [row["token"] for row in reader.rows("handles", shard, [scene_id])[scene_id]]
    return [f"{scene_id}: handles {', '.join(tokens)} in {folder}; {folder / 'README.md'} shows how to load them"]

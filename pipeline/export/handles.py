"""`unscene export`: one scene's handles out of their shard."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.ledger.commits import read_commit, rounds
from pipeline.shards.tables import read_rows
from pipeline.shards.tars import tar_name
from pipeline.storage.folder import Storage
from schemas.errors import SpecError


def find_scene(storage: Storage, scene: str) -> tuple[str, int, int]:
    """(scene_id, shard, round) of a scene with handles, from the beginning of its id.

    Raises SpecError when no scene, or more than one, begins so.
    """
    found = [
        (scene_id, shard, round_)
        for shard, round_ in sorted(rounds(storage, "extract").items())
        for scene_id in read_commit(storage, "extract", shard, round_).done
        if scene_id.startswith(scene)
    ]
    if len(found) != 1:
        what = "no scene with handles begins" if not found else f"{len(found)} scenes begin"
        raise SpecError(f"--scene {scene}: {what} so under {storage.url}; ids are in handles/*.parquet")
    return found[0]


def export_from(storage: Storage, scene: str, folder: Path) -> list[str]:
    """Writes the scene's files for diffusers under `folder`; returns what to tell."""
    from stages.handles.diffusers_files import export_scene

    scene_id, shard, round_ = find_scene(storage, scene)
    members = read_commit(storage, "extract", shard, round_).members
    data = {
        suffix: storage.read_range(tar_name("handles", shard), *members[f"{scene_id}.{suffix}"])
        for suffix in ("safetensors", "json")
    }
    export_scene(data["safetensors"], json.loads(data["json"]), folder)
    tokens = [row["token"] for row in read_rows(storage, "handles", shard, [scene_id])]
    return [f"{scene_id}: handles {', '.join(tokens)} in {folder}; {folder / 'README.md'} shows how to load them"]

"""Parts: what a worker leaves on storage for one scene until its shard is packed.

A part is one small tar, `_work/<stage>/<shard>/<scene_id>.tar`, written whole: `outcome.json` (rows, failure, seconds)
and the scene's files. Parts are why a killed driver loses at most the units in flight, and why pictures never travel
through it (invariant 8).
"""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import asdict
from typing import Any

from pipeline.shards.tars import add_member
from pipeline.storage.folder import Storage
from schemas.outcomes import Failure, SceneOutput

_OUTCOME = "outcome.json"


def work_folder(stage: str, shard: int, round_: int) -> str:
    return f"_work/{stage}/{shard:06d}.r{round_}"


def part_name(stage: str, shard: int, round_: int, scene_id: str) -> str:
    return f"{work_folder(stage, shard, round_)}/{scene_id}.tar"


def write_part(storage: Storage, name: str, output: SceneOutput) -> None:
    outcome = {
        "scene_id": output.scene_id,
        "rows": output.rows,
        "failure": asdict(output.failure) if output.failure else None,
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        add_member(tar, _OUTCOME, json.dumps(outcome).encode())
        for member, data in output.files.items():
            add_member(tar, member, data)
    storage.write(name, buffer.getvalue())


def read_part(storage: Storage, name: str) -> SceneOutput:
    """Raises FileNotFoundError if there is no such part."""
    files: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(storage.read(name))) as tar:
        for info in tar:
            member = tar.extractfile(info)
            assert member is not None, f"{name}: {info.name} is not a file"
            files[info.name] = member.read()
    outcome: dict[str, Any] = json.loads(files.pop(_OUTCOME))
    failure = Failure(**outcome["failure"]) if outcome["failure"] else None
    return SceneOutput(outcome["scene_id"], outcome["rows"], files, failure)

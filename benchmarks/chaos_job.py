"""The job of `benchmarks/chaos.py`: real ingest and a stage that only pretends, so that 300 scenes cost next to
nothing and go through all that writes. Run as `python -m benchmarks.chaos_job run SPEC`, it is `unscene` with these
stages and a short lease."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

import pipeline.commands.run as running
from pipeline.cli import main
from pipeline.ledger import holder, lease
from pipeline.stage_kinds import INGEST, StageKind
from schemas.job import JobSpec
from schemas.outcomes import SceneOutput, SceneTask
from stages.models.base.layout import PARTS
from stages.stage import StageContext

LEASE_S = 6.0
"""Of this job, where everybody else's is 90 s."""
MACHINE = "CHAOS_MACHINE"
"""Environment variable: the machine that a driver believes to be on, so that the next one has to watch its lease."""
SCENES_PER_SHARD = 10
UNIT = 5
STAGES = ("ingest", "extract")
TABLES = ("scenes", "handles", "failures", "account")
_WORK_S = 0.05
_HANDLE_BYTES = 1_100_000
"""So many that a unit's are copied inside the store and do not pass through the packer."""
_HERE = "benchmarks.chaos_job"


class Learn:
    """Pretends: a scene takes a moment, and its handle is decided by its picture."""

    name: ClassVar[str] = "extract"
    table: ClassVar[str] = "handles"
    needs: ClassVar[tuple[str, ...]] = ("scenes",)
    files: ClassVar[tuple[str, ...]] = ("scenes",)

    def __init__(self, spec: JobSpec, context: StageContext) -> None: ...

    def prepare(self) -> None: ...

    def setup(self) -> None: ...

    def process(self, tasks: Sequence[SceneTask]) -> Iterator[SceneOutput]:
        for task in tasks:
            time.sleep(_WORK_S)
            seen = hashlib.sha256(task.files["png"]).digest()
            row: dict[str, Any] = {"scene_id": task.scene_id, "index": 0, "token": "<asset0>", "word": "thing"}
            row |= {"embedding": [byte / 255 for byte in seen], "tuning": "lora", "steps": [1, 1]}
            name = f"{task.scene_id}.safetensors"
            yield SceneOutput(
                task.scene_id, [{**row, "file": name}], {name: (seen * (_HANDLE_BYTES // 32 + 1))[:_HANDLE_BYTES]}
            )


KINDS = [
    StageKind("ingest", "scenes", True, INGEST.factory, lambda spec: UNIT, lambda spec: spec.cluster.ingest),
    StageKind(
        "extract", "handles", True, "benchmarks.chaos_job:Learn", lambda spec: UNIT, lambda spec: spec.cluster.extract
    ),
]


def picture(number: int) -> bytes:
    """A tiny JPEG of its own; every 50th is the one before it once more, and every 60th is cut short."""
    number -= number % 50 == 49
    buffer = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "JPEG")
    data = buffer.getvalue()
    return data[: len(data) // 3] if number % 60 == 59 else data


def write_spec(file: Path, source: str, output: str) -> None:
    """The spec of a job on the Ray that RAY_ADDRESS names, and beside it the configuration of a base model of 16
    pixels."""
    model = file.parent / "model"
    for part, config in {"unet": {"sample_size": 16}, "vae": {"block_out_channels": [1]}}.items():
        (model / part).mkdir(parents=True, exist_ok=True)
        (model / part / "config.json").write_text(json.dumps(config))
    (model / "model_index.json").write_text(json.dumps({part: ["diffusers", part] for part in PARTS}))
    crew = {"workers": 2, "cpus": 1, "gpus": 0, "deadline_s": 300}
    tree: dict[str, Any] = {
        "models": {"base": str(model), "sam": str(model)},
        "source": {"uri": source},
        "output": output,
        "pack": {"scenes_per_shard": SCENES_PER_SHARD},
        "cluster": {"address": "auto", **dict.fromkeys(STAGES, crew)},
    }
    file.write_text(json.dumps(tree))


if __name__ == "__main__":
    lease.EXPIRES_S, lease.RENEW_S = LEASE_S, LEASE_S / 8
    if named := os.environ.get(MACHINE):
        holder.machine = lease.machine = lambda: named
    running.run_job = functools.partial(running.run_job, kinds=KINDS)
    sys.exit(main())

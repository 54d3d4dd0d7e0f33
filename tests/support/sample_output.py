"""A real OUTPUT without a model: the pipeline's own writers, pictures of flat colour, and every kind of trouble.

Two shards. Scenes 0 to `scenes - 1` have two concepts each (the left and the right half of a 32 x 32 picture, less a
margin), handles with loss curves, and `variations` pictures for each of two prompts. One more file is a duplicate, one
fails in ingest, and the last scene of shard 0 fails in extract. File names are such as strangers choose.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.ledger.plan import Plan, copy_plan, extend_plan
from pipeline.shards.account_lines import shard_account
from pipeline.shards.pack import PackOrder, pack, pack_rows
from pipeline.shards.parts import part_name, write_part
from pipeline.shards.reader import OutputReader
from pipeline.stage_kinds import EVALUATE, EXTRACT, GENERATE, INGEST, SEGMENT, StageKind
from pipeline.storage.folder import Storage
from schemas.fingerprint import result_fields
from schemas.job import JobSpec
from schemas.masks import encode_mask
from schemas.outcomes import Failure, SceneOutput
from stages.ingest.census import Picked, Read
from stages.ingest.source.hashing import Hashed
from stages.masks.label_mask import label_mask

SIDE = 32
STARTED = 1_790_000_000.0
ODD_NAMES = ("<script>alert(1)</script>.jpg", "\"quoted\" & 'odd'.png", "Zoë – пляж 🏖.jpeg")
PROMPTS = ("a photo of <asset0> at the beach", "a photo of <asset0> and <asset1> in the snow")
BROKEN = "/photos/broken.jpg"
ALL_STAGES = (INGEST, SEGMENT, EXTRACT, GENERATE, EVALUATE)


def picture_colour(number: int) -> tuple[int, int, int]:
    """The flat colour of a scene's picture."""
    return (40 + 7 * number % 60, 90, 200)


def half_masks() -> list[np.ndarray]:
    """The two concepts of every scene, bool [SIDE, SIDE]."""
    masks = [np.zeros((SIDE, SIDE), dtype=bool) for _ in range(2)]
    masks[0][4:-4, 2:14] = True
    masks[1][4:-4, 18:30] = True
    return masks


def encoded(colour: tuple[int, int, int], form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE), colour).save(buffer, form)
    return buffer.getvalue()


class SampleOutput:
    """Builds the OUTPUT under `folder`. `stages` of the first `shards` shards are committed: fewer than all is a job
    still at work. variations: pictures a prompt; settings: dotted fields of the spec, such as `extract.lora.rank`."""

    def __init__(
        self,
        folder: Path,
        scenes: int = 4,
        variations: int = 2,
        stages: Sequence[StageKind] = ALL_STAGES,
        shards: int = 2,
        settings: dict[str, Any] | None = None,
    ) -> None:
        self.storage = Storage(str(folder))
        self.variations = variations
        tree: dict[str, Any] = {"source": {"uri": "/photos"}, "output": str(folder), "evaluate": {"enabled": True}}
        for name, value in (settings or {}).items():
            *parents, last = name.split(".")
            at = tree
            for parent in parents:
                at = at.setdefault(parent, {})
            at[last] = value
        self.spec = JobSpec.model_validate(tree)
        write_record(self.storage, self.spec)
        self.uris = [f"/photos/{number:04d}/{ODD_NAMES[number % len(ODD_NAMES)]}" for number in range(scenes)]
        self.plan = self._write_plan(-(-(scenes + 1) // 2))
        self.failing = self.plan.scenes(0)[-1]
        for shard in range(min(shards, self.plan.shards)):
            self._commit_shard(shard, stages)

    def number_of(self, scene_id: str) -> int:
        """The scene's number, which picks its colour."""
        return next(i for i, uri in enumerate(self.uris) if scene_id == hashlib.sha256(uri.encode()).hexdigest()[:16])

    def _write_plan(self, scenes_per_shard: int) -> Plan:
        def read(picked: Picked) -> Read:
            content = self.uris[0] if picked.uri.endswith("copy.jpg") else picked.uri
            hashed = Hashed(picked.uri, 1000, hashlib.sha256(content.encode()).hexdigest(), None)
            return Read(picked, hashed, None, None)

        pictures = [Picked(uri) for uri in (*self.uris, "/photos/9999/copy.jpg", BROKEN)]
        return extend_plan(self.storage, pictures, scenes_per_shard, read)

    def _commit_shard(self, shard: int, stages: Sequence[StageKind]) -> None:
        rows = {row["scene_id"]: row for row in self.plan.rows(shard) if row["duplicate_of"] is None}
        extra = [
            {
                "scene_id": row["scene_id"],
                "uri": row["uri"],
                "sha256": row["sha256"],
                "bytes": row["bytes"],
                "status": "duplicate",
                "error": f"same bytes as {row['duplicate_of']}",
            }
            for row in self.plan.rows(shard)
            if row["duplicate_of"] is not None
        ]
        failures: list[dict[str, Any]] = []
        ready = tuple(rows)
        for kind in stages:
            for scene_id in ready:
                output = self._output(kind.name, scene_id, rows[scene_id])
                write_part(self.storage, part_name(kind.name, shard, 0, scene_id), output)
            commit = pack(
                self.storage,
                PackOrder(
                    kind.name,
                    kind.table,
                    kind.tar,
                    shard,
                    0,
                    ready,
                    tuple(rows),
                    uris={scene: row["uri"] for scene, row in rows.items()},
                    extra=tuple(extra) if kind.name == "ingest" else (),
                ),
            )
            ready = tuple(commit.done)
            failures += commit.failures
        if len(stages) == len(ALL_STAGES):
            lines = shard_account(OutputReader(self.storage), shard, self.plan.rows(shard), failures, None)
            tables = {"failures": failures, "account": [line.row() for line in lines]}
            pack_rows(self.storage, "failures", shard, 0, tables)

    def _output(self, stage: str, scene_id: str, row: dict[str, Any]) -> SceneOutput:
        if stage == "ingest":
            return self._ingested(scene_id, row)
        if stage == "segment":
            return SceneOutput(scene_id, [concept_row(scene_id, i, mask) for i, mask in enumerate(half_masks())])
        if stage == "extract":
            if scene_id == self.failing:
                failure = Failure(scene_id, "SceneError", "diverged at phase 1 step 7 <b>", None, 3)
                return SceneOutput(scene_id, failure=failure)
            return extracted(scene_id)
        if stage == "evaluate":
            return scored(made_variations(scene_id, self.variations))
        return made_variations(scene_id, self.variations)

    def _ingested(self, scene_id: str, row: dict[str, Any]) -> SceneOutput:
        base = {name: row[name] for name in ("scene_id", "uri", "sha256", "bytes")}
        if row["uri"] == BROKEN:
            failure = Failure(scene_id, "FileBroken", "cannot decode <img src=x onerror=alert(1)>", "Traceback ...", 1)
            return SceneOutput(scene_id, [{**base, "status": "failed", "error": failure.message}], failure=failure)
        return SceneOutput(
            scene_id,
            [
                {
                    **base,
                    "status": "ok",
                    "format": "PNG",
                    "width": 640,
                    "height": 480,
                    "side": SIDE,
                    "box": [80, 0, 560, 480],
                    "words": [],
                }
            ],
            {f"{scene_id}.png": encoded(picture_colour(self.number_of(scene_id)))},
        )


def write_record(storage: Storage, spec: JobSpec) -> None:
    """A run.json as `start_record` writes it, without looking at any model."""
    storage.create(
        "run.json",
        json.dumps(
            {
                "spec": spec.model_dump(mode="json"),
                "fingerprint": "f1" * 32,
                "fields": result_fields(spec, {"models.base": "sha256:abc"}),
                "seed": spec.seed,
                "versions": {"python": "3.11.0", "torch": "2.9.9"},
                "created_at": STARTED,
            }
        ).encode(),
    )


def concept_row(scene_id: str, index: int, mask: np.ndarray) -> dict[str, Any]:
    return {
        "scene_id": scene_id,
        "index": index,
        "mask": encode_mask(mask),
        "bbox": [2, 4, 12, 24],
        "area": int(mask.sum()),
        "area_share": float(mask.mean()),
        "predicted_iou": 0.913,
        "stability_score": 0.957,
        "border_share": 0.0,
        "score": 0.5,
        "word": None if index else "cat",
        "origin": "sam",
    }


def extracted(scene_id: str) -> SceneOutput:
    rows = [
        {
            "scene_id": scene_id,
            "index": index,
            "token": f"<asset{index}>",
            "word": ("cat", "object")[index],
            "embedding": [0.5, 0.25],
            "tuning": "lora",
            "rank": 16,
            "steps": [40, 40],
            "diffusion_loss": 0.0123,
            "attention_loss": 0.45,
            "prior_loss": None,
            "seconds": 12.0,
            "file": f"{scene_id}.safetensors",
        }
        for index in range(2)
    ]
    curves = {
        "step": [0.0, 20.0, 40.0, 60.0],
        "diffusion": [0.2, 0.1, 0.08, 0.0123],
        "attention": [0.9, 0.7, 0.5, 0.45],
        "prior": [0.0, 0.0, 0.0, 0.0],
    }
    info = {"scene_id": scene_id, "settings": {"phase1": {"steps": 40}}, "curves": curves}
    return SceneOutput(
        scene_id, rows, {f"{scene_id}.safetensors": b"w" * 2000, f"{scene_id}.json": json.dumps(info).encode()}
    )


def made_variations(scene_id: str, each: int) -> SceneOutput:
    output = SceneOutput(scene_id)
    for prompt, concepts in zip(PROMPTS, ([0], [0, 1]), strict=True):
        for _ in range(each):
            number = len(output.rows)
            key = f"{scene_id}-{number:04d}"
            output.rows.append(
                {
                    "key": key,
                    "scene_id": scene_id,
                    "prompt": prompt,
                    "template": "a photo of {handles}",
                    "text": prompt.replace("<asset0>", "cat").replace("<asset1>", "object"),
                    "concepts": concepts,
                    "handles": [f"<asset{index}>" for index in concepts],
                    "seed": 7000 + number,
                    "sampler": "ddim",
                    "steps": 30,
                    "guidance": 7.5,
                    "width": SIDE,
                    "height": SIDE,
                    "file": f"{key}.jpg",
                }
            )
            output.files |= {f"{key}.jpg": encoded((10, 20 * number % 250, 30), "JPEG"), f"{key}.json": b"{}"}
    return output


def scored(made: SceneOutput) -> SceneOutput:
    """Scores of these variations, which show their concepts where the source does: the last one repeats the first, all
    others are good."""
    output = SceneOutput(made.scene_id)
    for number, row in enumerate(made.rows):
        copied = number > 0 and number == len(made.rows) - 1
        mask = f"{row['key']}.mask.png"
        output.rows.append(
            {
                **{name: row[name] for name in ("key", "scene_id", "text", "concepts", "file")},
                "mask": mask,
                "prompt_similarity": 0.25,
                "identity_similarity": 0.75,
                "identity": [0.75] * len(row["concepts"]),
                "found": [1, len(row["concepts"]) - 1],
                "complete": True,
                "contrast": 0.2,
                "copy_similarity": 0.99 if copied else 0.1,
                "copy_of": made.rows[0]["key"] if copied else None,
                "collapsed": False,
                "keep": not copied,
                "reason": f"copy of {made.rows[0]['key']}: correlation 0.990 over 0.95" if copied else None,
            }
        )
        halves = half_masks()
        output.files[mask] = label_mask((SIDE, SIDE), {index: halves[index] for index in row["concepts"]})
    return output


def with_given_handles(folder: Path, earlier: SampleOutput, variations: int = 2) -> Storage:
    """OUTPUT of a `source.handles` job: variations alone, of the handles that `earlier` holds."""
    storage = Storage(str(folder))
    write_record(storage, JobSpec.model_validate({"source": {"handles": earlier.storage.url}, "output": str(folder)}))
    plan = copy_plan(storage, earlier.storage)
    for shard in range(plan.shards):
        scenes = tuple(
            scene
            for scene, row in ((r["scene_id"], r) for r in plan.rows(shard))
            if row["duplicate_of"] is None and row["uri"] != BROKEN and scene != earlier.failing
        )
        for scene in scenes:
            write_part(storage, part_name("generate", shard, 0, scene), made_variations(scene, variations))
        pack(storage, PackOrder("generate", "variations", True, shard, 0, scenes, scenes))
        pack_rows(storage, "failures", shard, 0, {"failures": []})
    return storage

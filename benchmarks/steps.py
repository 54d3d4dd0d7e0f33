"""What fewer sampler steps and an interval of guidance save, and what they lose by the judges of `evaluate`.

    python -m benchmarks.steps out/demo --scenes 4

OUTPUT: a finished job, whose handles are drawn anew with each setting, and scored. A row a setting: passes of the UNet
and processor seconds a picture; kept and complete: shares of the pictures; mean cosines to prompt and concepts.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks.measure import table, write_json
from pipeline.ledger.run_record import recorded_spec
from pipeline.shards.reader import OutputReader, by_scene
from pipeline.storage.folder import Storage
from schemas.job import Generate, JobSpec
from schemas.outcomes import SceneTask
from stages.evaluate.stage import EvaluateStage
from stages.generate.stage import GenerateStage
from stages.models.base.sampler import unet_passes
from stages.stage import StageContext

SETTINGS: tuple[dict[str, Any], ...] = (
    *({"steps": steps} for steps in (15, 10, 8, 6, 4, 2)),
    {"steps": 10, "guidance_interval": [0.28, 5.42]},
    {"steps": 10, "guidance_interval": [0.28, 2.0]},
    {"steps": 10, "guidance": 1.0},
)
COLUMNS = ("steps", "guided", "passes", "cpu_s", "kept", "complete", "prompt", "identity", "pictures")


def tasks_of(output: Storage, spec: JobSpec, count: int) -> Iterator[tuple[SceneTask, SceneTask]]:
    """For each of the first scenes with handles what generate is given, and what evaluate is given beside pictures."""
    reader = OutputReader(output, Storage(spec.source.handles) if spec.source.handles else None)
    for shard in reader.shards("handles"):
        rows = {name: reader.rows(name, shard) for name in ("handles", "concepts")}
        for scene_id in sorted(rows["handles"]):
            if count == 0:
                return
            count -= 1
            files = {}
            for name in ("handles", "scenes"):
                commit = reader.commit(name, shard)
                assert commit is not None
                found = reader.files(name, commit, by_scene(commit, {scene_id})[scene_id])
                files[name] = {member[len(scene_id) + 1 :]: data for member, data in found.items()}
            own = {name: found[scene_id] for name, found in rows.items()}
            yield SceneTask(scene_id, own, files["handles"]), SceneTask(scene_id, own, files["scenes"])


class Drawn:
    """The stages of a job, loaded once. images: of each prompt and subset."""

    def __init__(self, output: str, scenes: int, images: int) -> None:
        storage = Storage(output)
        spec = recorded_spec(storage)
        evaluate = spec.evaluate.model_copy(update={"enabled": True})
        self.spec = spec.model_copy(update={"evaluate": evaluate})
        self.images = images
        self.tasks = list(tasks_of(storage, spec, scenes))
        self.generate = GenerateStage(self.spec, StageContext("memory://none"))
        self.evaluate = EvaluateStage(self.spec, StageContext("memory://none"))
        self.generate.setup()
        self.evaluate.setup()

    def row(self, setting: dict[str, Any]) -> dict[str, Any]:
        """Draws and scores with a setting of `generate`."""
        tree = self.spec.generate.model_dump() | {"images_per_prompt": self.images, **setting}
        asked = Generate.model_validate(tree)
        self.generate.spec = self.spec.model_copy(update={"generate": asked})
        assert self.generate.model is not None
        began = time.process_time()
        outputs = list(self.generate.process([draw for draw, _ in self.tasks]))
        seconds = time.process_time() - began
        scores = [row for output in outputs for row in self._scores(output)]
        process = self.generate.model.base.scheduler
        return {
            "steps": asked.steps,
            "guided": "no" if asked.guidance <= 1 else asked.guidance_interval or "all",
            "passes": unet_passes(asked, process),
            "cpu_s": seconds / len(scores),
            "kept": statistics.mean(row["keep"] for row in scores),
            "complete": statistics.mean(row["complete"] for row in scores),
            "prompt": statistics.mean(row["prompt_similarity"] for row in scores),
            "identity": statistics.mean(row["identity_similarity"] for row in scores),
            "pictures": len(scores),
        }

    def _scores(self, output: Any) -> list[dict[str, Any]]:
        assert output.failure is None, output.failure
        known = next(task for _, task in self.tasks if task.scene_id == output.scene_id)
        files = {name[len(output.scene_id) + 1 :]: data for name, data in output.files.items()}
        task = replace(known, rows={**known.rows, "variations": output.rows}, files={**known.files, **files})
        (scored,) = self.evaluate.process([task])
        assert scored.failure is None, scored.failure
        return scored.rows


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Prints the table and returns what `--out` gets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", help="OUTPUT of a finished job")
    parser.add_argument("--scenes", type=int, default=4)
    parser.add_argument("--images", type=int, default=1, help="of each prompt and subset")
    parser.add_argument("--settings", type=int, default=len(SETTINGS), help="so many of them, the first ones")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", help="JSON file")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    drawn = Drawn(given.output, given.scenes, given.images)
    rows = []
    for setting in SETTINGS[: given.settings]:
        rows.append(drawn.row(setting))
        print(rows[-1], file=sys.stderr, flush=True)
    print(table(COLUMNS, [[row[name] for name in COLUMNS] for row in rows]))
    write_json(given.out, {"benchmark": "steps", "rows": rows})
    return {"benchmark": "steps", "rows": rows}


if __name__ == "__main__":
    main()

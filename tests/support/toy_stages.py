"""Two tiny but real stages for tests of the pipeline: their work is nothing, their faults are real.

A source file's text says what happens to its scene, and in which stage: `extract:die` (the process is killed by a
signal), `extract:exit`, `extract:hang`, `extract:raise`, `extract:flaky <file>` (dies until the file exists),
`extract:own` (a fault of the scene's own), `extract:poison` (this process fails all its scenes from now on),
`extract:warn <text>` (a warning, and no fault), `extract:where <folder>` (leaves a file there, named as its node),
`ingest:raise` ..., or nothing.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import ray

from pipeline.stage_kinds import StageKind, extract_unit
from schemas.errors import SceneError
from schemas.job import JobSpec
from schemas.outcomes import SceneOutput, SceneTask
from stages.stage import StageContext, failed


class Toy:
    """What both stages share: they do what the scene's text says."""

    name: ClassVar[str]
    poisoned = False

    def __init__(self, spec: JobSpec, context: StageContext) -> None:
        self.spec, self.shared, self.context = spec, Path(context.shared), context

    def prepare(self) -> None:
        self.shared.mkdir(parents=True, exist_ok=True)
        with open(self.shared / f"prepared-{self.name}", "a") as file:
            file.write("once\n")

    def setup(self) -> None:
        if self.spec.extract.init_word == "broken-setup" and self.name == "extract":
            raise RuntimeError("no such driver")

    def train(self, state: Path) -> None:
        """Steps that keep their state when it is wanted, and go on."""
        for step in range(10_000):
            self.context.progress({"share": 0.1, "phase": 1, "step": step, "steps": 10_000})
            if self.context.parting.due:
                state.write_text(str(step))
                self.context.parting.answer(True)
            time.sleep(0.1)

    def suffer(self, text: str) -> None:
        if self.poisoned:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        for line in text.splitlines():
            stage, _, fault = line.partition(":")
            if stage != self.name:
                continue
            fault, _, argument = fault.partition(" ")
            if fault == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            elif fault == "exit":
                os._exit(1)
            elif fault == "hang":
                time.sleep(1000)
            elif fault == "slow":
                time.sleep(float(argument))
            elif fault == "train":
                self.train(Path(argument))
            elif fault == "warn":
                logging.getLogger("stages.toy").warning("scene looks odd: %s", argument)
            elif fault == "where":
                Path(argument, ray.get_runtime_context().get_node_id()).touch()
            elif fault == "raise":
                raise ValueError("this scene does not like to be looked at")
            elif fault == "own":
                raise SceneError("there is nothing on it")
            elif fault == "poison" and not os.path.exists(argument):
                Path(argument).touch()
                self.poisoned = True
                self.suffer("")
            elif fault == "timeout":
                raise TimeoutError("storage is slow today")
            elif fault == "flaky" and not os.path.exists(argument):
                Path(argument).touch()
                os._exit(1)
            elif fault == "until" and not os.path.exists(argument):
                raise ValueError(f"{argument} is not there yet")


class ToyIngest(Toy):
    name = "ingest"
    table = "scenes"
    needs: ClassVar[tuple[str, ...]] = ("plan",)
    files: ClassVar[tuple[str, ...]] = ()

    def process(self, tasks: Sequence[SceneTask]) -> Iterator[SceneOutput]:
        for task in tasks:
            row = task.rows["plan"][0]
            try:
                if row.get("error"):
                    raise ValueError(row["error"])
                text = Path(row["uri"]).read_text()
                self.suffer(text)
            except Exception as error:
                yield failed(task.scene_id, error)
                continue
            yield SceneOutput(
                task.scene_id,
                [
                    {
                        "scene_id": task.scene_id,
                        "uri": row["uri"],
                        "sha256": row["sha256"],
                        "bytes": row["bytes"],
                        "status": "ok",
                    }
                ],
                {f"{task.scene_id}.txt": text.encode()},
            )


class ToyExtract(Toy):
    """`embedding`: numbers that only this scene and the seed decide; `word`: who shared its batch."""

    name = "extract"
    table = "handles"
    needs: ClassVar[tuple[str, ...]] = ("scenes",)
    files: ClassVar[tuple[str, ...]] = ("scenes",)

    def process(self, tasks: Sequence[SceneTask]) -> Iterator[SceneOutput]:
        for number, task in enumerate(tasks, 1):
            self.context.progress({"share": number / len(tasks), "picture": number, "pictures": len(tasks)})
            text = task.files["txt"].decode()
            if "extract:crash-batch" in text:
                raise RuntimeError("the whole batch is gone")
            try:
                self.suffer(text)
            except Exception as error:
                yield failed(task.scene_id, error)
                continue
            number = int(task.scene_id, 16) % 1000 + self.spec.seed
            yield SceneOutput(
                task.scene_id,
                [
                    {
                        "scene_id": task.scene_id,
                        "index": 0,
                        "token": "<asset0>",
                        "word": str(len(tasks)),
                        "embedding": [float(number)],
                        "tuning": "lora",
                        "steps": [1, 1],
                        "file": f"{task.scene_id}.safetensors",
                    }
                ],
                {f"{task.scene_id}.safetensors": b"x" * 2000, f"{task.scene_id}.json": b"{}"},
            )


TOY_KINDS = [
    StageKind(
        "ingest", "scenes", True, "tests.support.toy_stages:ToyIngest", lambda spec: 4, lambda spec: spec.cluster.ingest
    ),
    StageKind(
        "extract",
        "handles",
        True,
        "tests.support.toy_stages:ToyExtract",
        extract_unit,
        lambda spec: spec.cluster.extract,
    ),
]

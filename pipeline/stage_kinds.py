"""The stages of a job as the scheduler sees them, without importing their code (the driver loads no torch)."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from schemas.job import JobSpec, Workers

STAGE_OF = {
    "scenes": "ingest",
    "concepts": "segment",
    "handles": "extract",
    "variations": "generate",
    "scores": "evaluate",
}
"""Which stage makes a table."""

AFTER_HANDLES = ("variations", "scores")
"""Tables that a job with `source.handles` makes itself; the others lie in the earlier OUTPUT."""

LEARNING = ("ingest", "segment", "extract")
"""The stages before generation: with `source.handles` they ran in the earlier OUTPUT."""

AUTO_UNIT = 32
"""The largest batch that `extract.batch: auto` picks (stages/extract/training/batch_size.py)."""


@dataclass(frozen=True)
class StageKind:
    """One stage.

    factory: `module:Class` of its `stages.stage.Stage`, imported in the worker only.
    tar: whether its shards have a tar beside their table.
    unit: how many scenes one call of a worker takes at most.
    even: whether fewer are taken where that keeps all workers busy.
    auto_gpus: GPUs an actor takes under `gpus: auto`, on a cluster that has any.
    """

    name: str
    table: str
    tar: bool
    factory: str
    unit: Callable[[JobSpec], int]
    pool: Callable[[JobSpec], Workers]
    auto_gpus: float = 0.0
    even: Callable[[JobSpec], bool] = lambda spec: False


def load_stage(factory: str) -> Any:
    """The class that `module:Class` names."""
    module, _, name = factory.partition(":")
    return getattr(importlib.import_module(module), name)


def extract_unit(spec: JobSpec) -> int:
    """Scenes of one call: a batch; with `batch: auto` as many as the largest batch, which only the worker knows."""
    if spec.extract.tuning == "full":
        return 1
    return AUTO_UNIT if spec.extract.batch == "auto" else spec.extract.batch


INGEST = StageKind(
    "ingest", "scenes", True, "stages.ingest.stage:IngestStage", lambda spec: 16, lambda spec: spec.cluster.ingest
)
SEGMENT = StageKind(
    "segment",
    "concepts",
    False,
    "stages.segment.stage:SegmentStage",
    lambda spec: 4,
    lambda spec: spec.cluster.segment,
    auto_gpus=0.25,
)
EXTRACT = StageKind(
    "extract",
    "handles",
    True,
    "stages.extract.stage:ExtractStage",
    lambda spec: extract_unit(spec),
    lambda spec: spec.cluster.extract,
    auto_gpus=1.0,
    even=lambda spec: spec.extract.batch == "auto",
)
GENERATE = StageKind(
    "generate",
    "variations",
    True,
    "stages.generate.stage:GenerateStage",
    lambda spec: 1 if spec.extract.tuning == "full" else 4,
    lambda spec: spec.cluster.generate,
    auto_gpus=1.0,
)


EVALUATE = StageKind(
    "evaluate",
    "scores",
    True,
    "stages.evaluate.stage:EvaluateStage",
    lambda spec: 1,  # a scene's pictures are all in memory, and are many enough for a batch
    lambda spec: spec.cluster.evaluate,
    auto_gpus=0.5,
)


def kinds_of(spec: JobSpec) -> list[StageKind]:
    """The stages of a job, in order: without those before generation when handles are given."""
    learning = [] if spec.source.handles else [INGEST, SEGMENT, EXTRACT]
    return [*learning, GENERATE, *([EVALUATE] if spec.evaluate.enabled else [])]

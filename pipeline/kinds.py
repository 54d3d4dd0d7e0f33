"""The stages of a job as the scheduler sees them, without importing their code (the driver loads no torch)."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from schemas.job import JobSpec, Pool

STAGE_OF = {"scenes": "ingest", "concepts": "segment", "handles": "extract", "variations": "generate"}
"""Which stage makes a table."""


@dataclass(frozen=True)
class StageKind:
    """One stage.

    factory: `module:Class` of its `stages.stage.Stage`, imported in the worker only.
    tar: whether its shards have a tar beside their table.
    unit: how many scenes one call of a worker takes.
    auto_gpus: GPUs an actor takes under `gpus: auto`, on a cluster that has any.
    """

    name: str
    table: str
    tar: bool
    factory: str
    unit: Callable[[JobSpec], int]
    pool: Callable[[JobSpec], Pool]
    auto_gpus: float = 0.0

    def load(self) -> Any:
        """The stage's class."""
        return load_stage(self.factory)


def load_stage(factory: str) -> Any:
    """The class that `module:Class` names."""
    module, _, name = factory.partition(":")
    return getattr(importlib.import_module(module), name)


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
    lambda spec: 1 if spec.extract.tuning == "full" else spec.extract.batch,
    lambda spec: spec.cluster.extract,
    auto_gpus=1.0,
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


def kinds_of(spec: JobSpec) -> list[StageKind]:
    """The stages of a job, in order: all of them, or only generation when handles are given."""
    return [GENERATE] if spec.source.handles else [INGEST, SEGMENT, EXTRACT, GENERATE]

"""How many scenes one call of a worker takes: the batch, or with `batch: auto` an even share of the job."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.scheduling.pool import WorkerPool
from pipeline.stage_kinds import EXTRACT, INGEST, StageKind
from schemas.job import JobSpec

TWO_CORES = {"CPU": 2.0}


@pytest.mark.parametrize(
    ("kind", "extract", "scenes", "size"),
    [
        (EXTRACT, {}, 10, 5),
        (EXTRACT, {}, 11, 6),
        (EXTRACT, {}, 1000, 32),
        (EXTRACT, {}, 0, 1),
        (EXTRACT, {"batch": 4}, 10, 4),
        (EXTRACT, {"batch": 8}, 2, 8),
        (EXTRACT, {"tuning": "full"}, 10, 1),
        (INGEST, {}, 10, 16),
    ],
)
def test_units_keep_all_workers_busy(kind: StageKind, extract: dict[str, Any], scenes: int, size: int) -> None:
    spec = JobSpec.model_validate({"source": {"uri": "in"}, "output": "out", "extract": extract})
    assert WorkerPool(kind, spec, "out", None, has_gpus=False).unit_size(scenes, TWO_CORES) == size


def test_one_worker_takes_it_all_and_many_share_it() -> None:
    for workers, size in ((1, 20), (3, 7), (50, 1)):
        spec = JobSpec.model_validate(
            {"source": {"uri": "in"}, "output": "out", "cluster": {"extract": {"workers": workers}}}
        )
        assert WorkerPool(EXTRACT, spec, "out", None, has_gpus=False).unit_size(20, TWO_CORES) == size

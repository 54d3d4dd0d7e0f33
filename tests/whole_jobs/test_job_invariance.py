"""What one scene learns does not depend on its company, in jobs from bucket to handles by real workers on one Ray."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from pipeline.commands.run import run_job
from pipeline.stage_kinds import EXTRACT, INGEST, SEGMENT
from schemas.spec_file import load_spec
from tests.support import ROOT
from tests.support.finished_job import QUICK, Finished


@pytest.fixture(scope="module")
def masked_bucket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four demo scenes with their true masks beside them, 2 and 3 concepts mixed."""
    folder = tmp_path_factory.mktemp("masked")
    for number in range(4):
        (picture,) = (ROOT / "demo" / "bucket").glob(f"scene-0{number}.*")
        shutil.copy(picture, folder)
        for mask in (ROOT / "demo" / "truth").glob(f"scene-0{number}.mask*.png"):
            shutil.copy(mask, folder)
    return folder


def test_batches_and_workers_do_not_change_the_handles(masked_bucket: Path, tmp_path: Path, local_ray: None) -> None:
    """Invariant 5, through all that schedules: one scene a batch on one worker, four in a batch, three workers.

    No attention loss and a fifth of the demo's rate: both make much of rounding on this model (docs/engine.md, "Many
    scenes in one batch"), and what is looked for here is what scenes do to each other. test_company.py has both.
    Nothing is drawn: a picture is made of its handles, whose workers only cost their start here.
    """
    found = {}
    for name, batch, workers in (("alone", 1, 1), ("together", 4, 1), ("spread", 1, 3)):
        settings = {
            "source.uri": str(masked_bucket), "source.masks": "beside", "output": str(tmp_path / name),
            "pack.scenes_per_shard": 4, "extract.batch": batch, "cluster.extract.workers": workers,
            "cluster.extract.cpus": 0.5, "extract.attention_loss": "none", "extract.phase1.lr": 1e-3,
        }  # fmt: skip
        words = [f"{field}={json.dumps(value)}" for field, value in (QUICK | settings).items()]
        spec = load_spec(ROOT / "jobs" / "demo.yaml", words)
        result = run_job(spec, Console(file=io.StringIO()), [INGEST, SEGMENT, EXTRACT])
        assert result.complete
        rows = Finished(tmp_path / name, "").table("handles")
        found[name] = {(row["scene_id"], row["index"]): np.asarray(row["embedding"]) for row in rows}
    assert len(found["alone"]) == 9
    for name in ("together", "spread"):
        assert found[name].keys() == found["alone"].keys()
        for key, embedding in found["alone"].items():
            np.testing.assert_allclose(found[name][key], embedding, atol=1e-4, rtol=0, err_msg=f"{name} {key}")

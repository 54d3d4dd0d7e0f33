"""Long proofs, run by `make prove`: the real job, killed at random moments."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import ROOT
from tests.support.finished_job import QUICK, Finished, demo_files, unscene

pytestmark = pytest.mark.prove
# One scene a batch: what a killed job has left is batched anew, and other company is another rounding (docs/engine.md).
# So handles must be the same to the last bit, whatever was lost; company is tests/whole_jobs/test_job_invariance.py's.
SMALL: dict[str, Any] = {**QUICK, "generate.subsets": ["union"], "source.uri": demo_files(6), "extract.batch": 1}


def embeddings(output: Path) -> dict[tuple[str, int], np.ndarray]:
    rows = Finished(output, "").table("handles")
    assert len(rows) == len({(row["scene_id"], row["index"]) for row in rows}), "a handle twice"
    return {(row["scene_id"], row["index"]): np.asarray(row["embedding"]) for row in rows}


@pytest.mark.parametrize("attempt", range(2))
def test_the_real_job_survives_kill_9_at_any_moment(attempt: int, tmp_path: Path) -> None:
    began = time.monotonic()
    whole = unscene("run", "jobs/demo.yaml", output=tmp_path / "whole", **SMALL)
    took = time.monotonic() - began  # a machine's own measure: after a fixed time a fast one is through
    assert whole.returncode == 0, whole.stdout + whole.stderr
    expected = embeddings(tmp_path / "whole")
    words = [f"{name}={value}" for name, value in {**SMALL, "output": tmp_path / "killed"}.items()]
    command = [sys.executable, "-m", "pipeline", "run", "jobs/demo.yaml"]
    command += [part for word in words for part in ("--set", word)]
    kills = 0
    while kills < 3:
        with (tmp_path / "log").open("ab") as log:
            driver = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
        try:
            driver.wait(timeout=took * random.uniform(0.15, 0.75))
        except subprocess.TimeoutExpired:
            os.kill(driver.pid, signal.SIGKILL)
            driver.wait()
            kills += 1
            time.sleep(2)
            continue
        break
    assert kills, "the job was through before it could be killed: nothing is proven"
    done = unscene("run", "jobs/demo.yaml", output=tmp_path / "killed", **SMALL)
    assert done.returncode == 0, done.stdout + done.stderr
    found = embeddings(tmp_path / "killed")
    assert found.keys() == expected.keys()
    for key, embedding in expected.items():
        np.testing.assert_array_equal(found[key], embedding)
    for table in ("scenes", "concepts", "variations", "failures"):
        assert len(Finished(tmp_path / "killed", "").table(table)) == len(Finished(tmp_path / "whole", "").table(table))

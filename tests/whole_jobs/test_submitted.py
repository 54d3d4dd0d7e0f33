"""A job on a cluster of its own, stopped, and robbed of its head: the same `submit` goes on. Run by `make prove`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.finished_job import QUICK, Finished, demo_files
from tests.support.ray_head import Head, free_ports, ray_head

pytestmark = pytest.mark.prove
SETTINGS = {
    **QUICK,
    "extract.batch": 1,  # so that a job that is stopped in the first has more to do
    "source.uri": demo_files(3),
    "generate.subsets": ["union"],
    "evaluate.enabled": "false",
}


def submit(head: Head, output: Path, log: Path) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "pipeline", "submit", "demo", "--address", head.address, "--wait"]
    for name, value in {**SETTINGS, "output": str(output)}.items():
        words += ["--set", f"{name}={json.dumps(value) if isinstance(value, list) else value}"]
    with log.open("wb") as file:
        return subprocess.Popen(words, cwd=ROOT, env={**head.env, "COLUMNS": "500"}, stdout=file, stderr=file)


def at_work(submitted: subprocess.Popen[bytes], log: Path, is_met: Callable[[], bool]) -> str:
    """Waits until the job is met at what it is looked for; its id."""
    give_up = time.monotonic() + 400
    while not is_met():
        assert submitted.poll() is None, log.read_text()
        assert time.monotonic() < give_up, log.read_text()
        time.sleep(0.2)
    found = re.search(r"raysubmit_\w+", log.read_text())
    assert found is not None
    return found[0]


def test_stopped_and_robbed_of_its_head_the_same_command_goes_on(tmp_path: Path) -> None:
    output, ports = tmp_path / "out", free_ports(4)
    with ExitStack() as heads:
        head = heads.enter_context(ray_head(2, ports))
        log = tmp_path / "stopped.log"
        submitted = submit(head, output, log)
        job = at_work(submitted, log, lambda: any((output / "_commits" / "segment").glob("*.json")))  # training begins
        stop = [sys.executable, "-m", "ray.scripts.scripts", "job", "stop", "--address", head.address, job]
        subprocess.run(stop, env=head.env, check=True, capture_output=True, timeout=120)
        assert submitted.wait(120) == 130
        said = " ".join(log.read_text().split())
        assert f"Go on with: unscene submit demo --address {head.address} --set" in said
        assert f"{job} stopped:" in said

        log = tmp_path / "robbed.log"
        submitted = submit(head, output, log)
        job = at_work(submitted, log, lambda: " s so far" in log.read_text())
        head.kill()
        head = heads.enter_context(ray_head(2, ports))
        assert submitted.wait(120) == 2
        said = log.read_text()
        assert f"{job}: the cluster at {head.address} does not know this job any more" in said
        assert "Traceback" not in said

        log = tmp_path / "whole.log"
        assert submit(head, output, log).wait(600) == 0, log.read_text()
    found = Finished(output, "")
    rows = {table: found.table(table) for table in ("scenes", "failures", "variations")}
    assert {table: len(each) for table, each in rows.items()} == {"scenes": 7, "failures": 4, "variations": 9}
    scenes, failed = ({row["scene_id"] for row in rows[table]} for table in ("scenes", "failures"))
    drawn = {(row["scene_id"], row["prompt"]) for row in rows["variations"]}
    assert (len(scenes), len(failed), len(drawn)) == (7, 4, 9), "a picture of each prompt, once"
    assert failed | {scene for scene, _ in drawn} == scenes

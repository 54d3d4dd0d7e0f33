"""A cluster of several machines that come and go while a job runs: none that is lost stops it, or costs a scene."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from pipeline.storage.folder import Storage
from tests.support import ROOT
from tests.whole_jobs.test_faults import bucket, rows_of

SCENES = 12
RUN = """
import sys
from rich.console import Console
from pipeline.commands.run import run_job
from tests.support.toy_stages import TOY_KINDS
from tests.whole_jobs.test_faults import toy_spec
from pathlib import Path

source, output, address, gpus = sys.argv[1:]
cluster = {"address": address, "ingest": {"workers": 1}, "extract": {"gpus": int(gpus)}}
spec = toy_spec(Path(source), Path(output), cluster=cluster, extract={"batch": 1}, pack={"scenes_per_shard": 3})
sys.exit(0 if run_job(spec, Console(width=200), TOY_KINDS).complete else 1)
"""


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A head that carries no work, for the driver; a test adds what does. It asks each second whether a node is there,
    so that one which is lost is missed in five, and not in Ray's own fifteen."""
    monkeypatch.setenv("RAY_health_check_period_ms", "1000")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 100 * 2**20})
    yield found
    found.shutdown()


def start(source: Path, output: Path, address: str, gpus: int = 0) -> tuple[subprocess.Popen[bytes], Path]:
    """The driver of a job over `source`, and its log."""
    log = output.parent / "log"
    with open(log, "w") as file:
        command = [sys.executable, "-c", RUN, str(source), str(output), address, str(gpus)]
        return subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT), log


def wait_for_work(driver: subprocess.Popen[bytes], output: Path) -> None:
    """Until the first shard is through the last stage."""
    storage, until = Storage(str(output)), time.monotonic() + 180
    while not storage.names("_commits/extract") and driver.poll() is None and time.monotonic() < until:
        time.sleep(0.2)


def test_a_node_is_lost_with_what_lived_on_it_and_another_comes(tmp_path: Path, machines: Cluster) -> None:
    source = bucket(tmp_path / "in", {f"{number:02d}": "extract:slow 1" for number in range(SCENES)})
    room = {"num_cpus": 2, "object_store_memory": 100 * 2**20}
    lost = machines.add_node(**room)
    driver, log = start(source, tmp_path / "out", machines.address)
    wait_for_work(driver, tmp_path / "out")
    machines.remove_node(lost, allow_graceful=False)
    machines.add_node(**room)
    assert driver.wait(240) == 0, log.read_text()
    assert len(rows_of(tmp_path / "out", "handles")) == SCENES
    assert not rows_of(tmp_path / "out", "failures")
    assert "was lost; its unit goes to another" in log.read_text()


def test_pools_follow_the_nodes_of_a_night(tmp_path: Path, machines: Cluster) -> None:
    """Three raylets: the head and two with a GPU each, of which one goes; a third comes while the other works."""
    where = tmp_path / "where"
    where.mkdir()
    text = f"extract:where {where}\nextract:slow 3"  # Ray takes five seconds to see that a node is gone
    source = bucket(tmp_path / "in", {f"{number:02d}": text for number in range(SCENES)})
    room = {"num_cpus": 1, "num_gpus": 1, "object_store_memory": 100 * 2**20}
    stays, goes = machines.add_node(**room), machines.add_node(**room)
    driver, log = start(source, tmp_path / "out", machines.address, gpus=1)
    wait_for_work(driver, tmp_path / "out")
    machines.remove_node(goes, allow_graceful=False)
    comes = machines.add_node(**room)
    assert driver.wait(240) == 0, log.read_text()
    told = log.read_text()
    assert len(rows_of(tmp_path / "out", "handles")) == SCENES
    assert not rows_of(tmp_path / "out", "failures")
    assert {file.name for file in where.iterdir()} >= {stays.node_id, comes.node_id}
    assert "a node has joined (1 core and 1 GPU): the cluster has" in told
    assert "a node has left (1 core and 1 GPU); what its workers had in hand goes to others: the cluster has" in told

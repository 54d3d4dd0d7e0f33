"""The simulated job is a job, every scene once through a stop in the middle, and counts what was asked for."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks.scale import busy_of, kept_bytes, requests_a_scene
from benchmarks.scale_clock import Clock
from benchmarks.scale_job import ON_THE_CLUSTER, OUTPUT, Run
from benchmarks.scale_ray import Actor, SimulatedRay
from benchmarks.scale_store import ScaleFileSystem, new_store
from benchmarks.scale_work import STAGES, Work
from pipeline import scheduling
from pipeline.ledger.commits import commits_of
from pipeline.ledger.committed import Committed
from pipeline.storage.folder import Storage

SCENES = 130


@pytest.fixture(scope="module", params=[False, True], ids=["light", "whole"])
def run(request: pytest.FixtureRequest) -> Run:
    run = Run(SCENES, 2, Work(2, 2000), whole=request.param)
    with run.simulated():
        assert not run.open_and_run("plan", "work to the half", SCENES // 2).complete
        assert run.open_and_run("resume", "work to the end").complete
        run.status("status")
    return run


def test_every_scene_ends_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ScaleFileSystem, "store", run.store)
    ended: Counter[str] = Counter()
    for stage in STAGES:
        for commit in commits_of(Storage(OUTPUT), stage.name):
            ended.update(row["scene_id"] for row in commit.failures)
            ended.update(commit.done if stage is STAGES[-1] else ())
    assert len(ended) == SCENES
    assert set(ended.values()) == {1}
    assert not any("/_work" in folder or "/_attempts" in folder for folder in run.store.files), "nothing is left"


def test_the_driver_asks_the_store_little(run: Run) -> None:
    """It was 2.9 a scene, most of them in the loop that gives out work."""
    asked = requests_a_scene(run)
    phases = {phase.name: phase.requests for phase in run.phases}
    assert phases["work to the half"]["driver", "GET"] <= phases["work to the half"]["driver", "PUT"], "snapshots"
    assert asked["all"] == pytest.approx(asked["driver"] + asked["packer"] + asked["workers"])
    if run.whole:
        assert asked["workers"] + asked["packer"] < 25
        moved = sum(size for (_, way), size in run.store.moved.items() if way == "up")
        assert moved > 2 * kept_bytes(run), "parts, and shards made of them"


def test_nothing_of_the_scheduler_speaks_to_another_ray() -> None:
    """A module that asks Ray and is not simulated would start a cluster in the middle of a night."""
    folder = Path(scheduling.__file__).parent
    asking = {
        file.stem for file in folder.glob("*.py") if re.search(r"^\s*import ray\b", file.read_text(), re.MULTILINE)
    }
    simulated = {module.__name__.rpartition(".")[2] for module in ON_THE_CLUSTER}
    assert asking - simulated == {"cluster", "own_ray", "worker"}, "which the simulation stands in for"


def test_a_stop_in_the_middle_keeps_the_states_of_batches_in_training() -> None:
    run = Run(600, 8, Work(2, 2000))
    with run.simulated():
        assert not run.open_and_run("plan", "work", 100).complete
        assert run.ray.calls["part"] > 0
        assert run.open_and_run("resume", "work to the end").complete


def test_status_has_no_table_to_read(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commits tell what their scores come to, whoever has packed them."""
    monkeypatch.setattr(ScaleFileSystem, "store", run.store)
    told = dict(Committed(Storage(OUTPUT), ["evaluate"]).tallies("evaluate"))
    assert len(told) == -(-SCENES // run.spec.pack.scenes_per_shard)
    assert all(told.values())


def test_the_clock_counts_the_driver_s_work_and_no_other() -> None:
    clock = Clock()
    began = clock.monotonic()
    with clock.aside("packer") as spent:
        sum(number for number in range(300_000))
        clock.wait(0.5)
        assert clock.who == "packer"
    assert clock.monotonic() - began < spent.worked_s < spent.worked_s + 0.5
    assert (spent.waited_s, clock.who) == (0.5, "driver")
    clock.wait(2.0)
    assert 2.0 <= clock.monotonic() - began < 2.0 + spent.worked_s


def test_actors_wait_for_a_place_and_do_one_thing_at_a_time() -> None:
    ray = SimulatedRay(Clock(), cpus=4, gpus=1)
    first, second = (ray.actor(lambda method, _: (method, 10.0), 1, 1, "extract", own=False) for _ in range(2))
    calls = [first.setup.remote(), first.run.remote(), second.setup.remote()]
    assert ray.wait(calls[2:], timeout=100)[0] == []
    assert ray.get(calls[1]) == "run"
    assert calls[1].at == pytest.approx(calls[0].at + 10)
    ray.kill(first)
    assert ray.wait(calls[2:], timeout=100)[0] == calls[2:]


def test_idle_time_is_told_apart() -> None:
    """Two GPUs: one works from 0 to 100 and is let go, one from 10 to 80 with a set-up before and 10 s of nothing."""
    actors = [Actor(lambda *_: (None, 0.0), 1, 1, "extract", False, placed_at=0, ended_at=at) for at in (100, 90)]
    actors[0].spans.extend((0.0, 100.0))
    actors[1].spans.extend((10.0, 40.0, 40.0, 80.0))
    actors[1].setup_s = 10.0
    used = busy_of(actors, gpus=2)
    assert (used.start, used.between, used.tail) == pytest.approx((0.05, 0.0, 0.1))
    assert (used.tail_s, used.seconds) == (20, 100)
    assert used.ready == pytest.approx(10 / 190)


def test_the_store_is_an_object_store() -> None:
    store = new_store(Clock())
    storage = Storage("scale://there")
    assert storage.create("a/b/one", b"1")
    assert not storage.create("a/b/one", b"2")
    storage.publish("a/b/one", "plain/one")
    assert (storage.read("plain/one"), storage.folders("a"), storage.names("a/b")) == (b"1", ["b"], {"one": 1})
    with storage.open_write("plain/long") as file:
        file.write(bytes(range(256)) * 8)
    assert storage.read_range("plain/long", 250, 10) == bytes([250, 251, 252, 253, 254, 255, 0, 1, 2, 3])
    storage.delete_folder("a")
    assert (storage.folders("a"), storage.names("a/b"), storage.exists("a")) == ([], {}, False)
    assert store.requests["driver", "COPY"] == 1
    assert np.sum([number for (_, kind), number in store.requests.items() if kind == "PUT"]) == 3

"""How many packers there are follows what waits for one, and each has one shard in hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import RayActorError

from pipeline.scheduling import packer as module
from pipeline.scheduling.packer import DEADLINE_S, Packing
from pipeline.storage.folder import Storage


class Packer:
    """Stands in for the actor: `where` it was to live, and the calls that it was given."""

    made: list[Packer]

    def __init__(self, where: Any) -> None:
        self.where, self.calls = where, list[str]()
        self.pack = self.pack_failures = SimpleNamespace(remote=self._call)
        self.made.append(self)

    def _call(self, *order: Any) -> str:
        self.calls.append(f"{len(self.made)}-{len(self.calls)}-{order[0]}")
        return self.calls[-1]


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found = [1000.0]
    Packer.made = []
    monkeypatch.setattr(module.time, "monotonic", lambda: found[0])
    monkeypatch.setattr(module.ray, "kill", lambda packer: Packer.made.remove(packer))
    monkeypatch.setattr(module.ray, "get", lambda call: ("commit", 10))
    monkeypatch.setattr(module.ray, "get_runtime_context", lambda: SimpleNamespace(get_node_id=lambda: "0" * 56))
    monkeypatch.setattr(
        module,
        "Packer",
        SimpleNamespace(
            options=lambda num_cpus, scheduling_strategy: SimpleNamespace(remote=lambda *a: Packer(scheduling_strategy))
        ),
    )
    return found


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def packing(now: list[float], told: list[str]) -> Packing:
    return Packing(Storage("memory://out"), lambda text, about=None: told.append(text))


def add(packing: Packing, *shards: int) -> None:
    for shard in shards:
        run: Any = SimpleNamespace(shard=shard, kind=SimpleNamespace(name="ingest"), order=f"shard {shard}")
        packing.pack(run)


def test_one_writes_until_shards_have_waited(packing: Packing, now: list[float]) -> None:
    add(packing, 0, 1, 2, 3)
    packing.look(workers=8, nodes=3)
    assert (len(Packer.made), len(packing.calls), len(packing)) == (1, 1, 4)
    now[0] += 2
    packing.look(8, 3)
    assert len(Packer.made) == 1, "so long it may well take, and a process is not started for it"
    now[0] += 4
    packing.look(8, 3)
    assert len(Packer.made) == 4
    assert [packer.where == "SPREAD" for packer in Packer.made] == [False, True, True, True]
    assert all(len(packer.calls) == 1 for packer in Packer.made)


@pytest.mark.parametrize(("workers", "nodes", "most"), [(2, 1, 2), (25, 1, 3), (8, 3, 4), (64, 8, 13), (4000, 500, 64)])
def test_there_are_no_more_than_nodes_and_workers_ask_for(
    packing: Packing, now: list[float], workers: int, nodes: int, most: int
) -> None:
    add(packing, *range(100))
    now[0] += 6
    packing.look(workers, nodes)
    assert len(Packer.made) == most


def test_those_that_are_not_needed_any_more_end(packing: Packing, now: list[float]) -> None:
    add(packing, *range(3))
    now[0] += 6
    packing.look(8, 3)
    for call in packing.calls:
        assert packing.finished(call)
    packing.look(8, 3)
    assert len(Packer.made) == 3
    for _ in range(10):  # one shard at a time is one packer's work
        now[0] += 10
        add(packing, 5)
        packing.look(8, 3)
        assert packing.finished(packing.calls[0])
    assert len(Packer.made) == 1
    packing.close()
    assert not Packer.made


def test_a_deadline_is_not_spent_in_the_line(packing: Packing, now: list[float], told: list[str]) -> None:
    """Ten shards of five minutes each were given to one packer at once; the seventh was killed for taking too long."""
    add(packing, *range(10))
    for _ in range(10):
        now[0] += 300
        packing.look(0, 0)
        assert packing.finished(packing.calls[0])
    assert (len(packing), told) == (0, [])
    add(packing, 10)
    now[0] += DEADLINE_S + 1
    packing.look(0, 0)
    assert "shard 10 of ingest failed (no answer within 1800 s" in told[0]


def test_one_that_is_lost_costs_no_other_shard_its_place(
    packing: Packing, now: list[float], told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    add(packing, 0, 1)

    def lost(call: str) -> None:
        raise RayActorError

    with monkeypatch.context() as away:
        away.setattr(module.ray, "get", lost)
        assert packing.finished(packing.calls[0]) is None
    assert "the process that wrote shard 0 of ingest was lost" in told[0]
    packing.look(8, 3)
    assert Packer.made[-1].calls[0].endswith("shard 1")
    assert Packer.made[-1].where != "SPREAD", "the driver's node has none now"
    now[0] += 3
    assert packing.finished(packing.calls[0])
    packing.look(8, 3)
    assert Packer.made[-1].calls[-1].endswith("shard 0")


def test_a_line_that_gets_no_shorter_is_said(packing: Packing, now: list[float]) -> None:
    add(packing, *range(9))
    packing.look(2, 1)
    now[0] += 50
    packing.look(2, 1)
    texts = [wait.text for wait in packing.waits()]
    assert texts[-1] == (
        "shard 2 of ingest has waited {} to be written, 7 shards in line: 2 of at most 2 processes write, and the "
        "store is slow"
    )

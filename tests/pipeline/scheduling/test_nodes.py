"""Nodes that join, leave and are told to leave: each is said once, with what the cluster has then."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.scheduling import nodes as module
from pipeline.scheduling.nodes import Nodes
from pipeline.watching.watcher import NOTHING, About


class Cluster:
    """What Ray would say. free: None where it does not, as through a Ray client."""

    def __init__(self) -> None:
        self.alive: dict[str, dict[str, float]] = {"a": {"CPU": 8.0}}
        self.dead: set[str] = set()
        self.draining: set[str] = set()
        self.tells_more = True

    def nodes(self) -> list[dict[str, Any]]:
        alive = [{"NodeID": name, "Alive": True, "Resources": total} for name, total in self.alive.items()]
        return alive + [{"NodeID": name, "Alive": False, "Resources": {}} for name in self.dead]

    def free(self) -> dict[str, dict[str, float]]:
        if not self.tells_more:
            raise ConnectionError("not connected")
        return self.alive


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    found = Cluster()
    monkeypatch.setattr(module.ray, "nodes", found.nodes)
    monkeypatch.setattr(module.state, "available_resources_per_node", found.free)
    monkeypatch.setattr(module.state.state, "get_draining_nodes", lambda: dict.fromkeys(found.draining, 0))
    return found


def test_who_comes_and_goes_is_told_with_what_is_there_now(cluster: Cluster) -> None:
    told: list[tuple[str, str]] = []

    def event(text: str, about: About = NOTHING) -> None:
        told.append((about.level, text))

    nodes = Nodes(event)
    nodes.look()
    assert not told, "what was there at first is no news"
    cluster.alive |= {"b": {"CPU": 4.0, "GPU": 1.0}, "c": {"CPU": 4.0, "GPU": 1.0}}
    nodes.look()
    cluster.draining = {"b"}
    nodes.look()
    assert (nodes.leaving, nodes.shut, nodes.total("GPU")) == ({"b"}, {"b"}, 1)
    del cluster.alive["b"]
    cluster.dead = {"b"}
    nodes.look()
    assert (nodes.leaving, nodes.gone) == (frozenset(), {"b"})
    cluster.alive.clear()
    nodes.look()
    nodes.look()
    assert told == [
        ("info", "2 nodes have joined (8 cores and 2 GPUs): the cluster has 3 nodes, 16 cores and 2 GPUs now"),
        (
            "warning",
            "a node has been told to leave (4 cores and 1 GPU); its workers begin nothing new: "
            "the cluster has 2 nodes, 12 cores and 1 GPU now",
        ),
        (
            "warning",
            "a node has left (4 cores and 1 GPU); what its workers had in hand goes to others: "
            "the cluster has 2 nodes, 12 cores and 1 GPU now",
        ),
        (
            "warning",
            "2 nodes have left (12 cores and 1 GPU); what their workers had in hand goes to others: "
            "the cluster has no node now",
        ),
    ]
    cluster.alive["a"] = {"CPU": 8.0}
    nodes.look()
    assert nodes.gone == {"b", "c"}, "one that is back takes workers again"


def test_a_ray_client_is_not_told_what_is_free(cluster: Cluster) -> None:
    cluster.tells_more = False
    nodes = Nodes(lambda text, about=NOTHING: None)
    assert nodes.alive[0].free is None
    assert nodes.alive[0].has_free(8, 0)
    cluster.tells_more = True
    nodes.look()
    assert nodes.alive[0].has_free(8, 0)
    assert not nodes.alive[0].has_free(8, 1)


def test_ray_is_asked_no_more_often_than_needed(cluster: Cluster) -> None:
    nodes = Nodes(lambda text, about=NOTHING: None)
    assert not nodes.look(60)
    assert nodes.look(0)

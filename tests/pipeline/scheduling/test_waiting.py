"""What a job waits for is told once it has waited long, again after twice as long, and never once it has ended."""

from __future__ import annotations

import pytest

from pipeline.scheduling import waiting
from pipeline.scheduling.waiting import FIRST_S, Wait, Waiting, for_a_place
from pipeline.watching.watcher import About

ABOUT = About("extract")
NODES = [{"CPU": 8.0}, {"CPU": 4.0, "GPU": 1.0}]


def test_a_wait_is_told_of_after_a_while_and_then_ever_more_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    told: list[str] = []
    monkeypatch.setattr(waiting.time, "monotonic", lambda: now[0])
    found = Waiting(lambda text, about: told.append(text))
    wait = Wait(("extract", "set-up"), 1000.0, "a worker of extract has been starting for {}: loading {models}", ABOUT)
    for passed in (1, FIRST_S - 1, FIRST_S, 2 * FIRST_S - 1, 2 * FIRST_S, 3 * FIRST_S, 4 * FIRST_S):
        now[0] = 1000.0 + passed
        found.look(iter([wait]))
    assert [text.split(" for ")[1] for text in told] == [
        "45 s: loading {models}",
        "2 min: loading {models}",
        "3 min: loading {models}",
    ]
    found.look(iter([]))
    now[0] = 5000.0
    found.look(iter([Wait(wait.key, 4999.0, wait.text, ABOUT)]))
    assert len(told) == 3, "it is another wait, a second old"


@pytest.mark.parametrize(
    ("cpus", "gpus", "said"),
    [
        (1, 2, "extract has waited {} for a worker with 1 core and 2 GPUs: no node has that"),
        (6, 0.25, "no node has that (4 cores and 1 GPUs, 8 cores and 0 GPUs)"),
        (2, 1, "extract has waited {} for a worker: this cluster has no 2 cores and 1 GPU free"),
        (0, 0.5, "this cluster has no 0.5 GPU free"),
    ],
)
def test_a_place_that_no_node_has_is_told_from_one_that_is_taken(cpus: float, gpus: float, said: str) -> None:
    assert said in (for_a_place("extract", cpus, gpus, NODES) or "")
    turn = for_a_place("extract", cpus, gpus, NODES, ours=True)
    assert (turn is None) is ("no node has that" not in said), "workers of one job take turns, which is no news"


def test_a_cluster_without_nodes_is_said_to_have_none() -> None:
    assert "no node has that (there is none)" in (for_a_place("segment", 1, 0, [], ours=True) or "")

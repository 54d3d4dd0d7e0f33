"""The nodes of the cluster as they are now: which are there, which are about to go, and what is free on each."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import ray
from ray._private import state

from pipeline.watching.watcher import About, Tell
from pipeline.wording import counted

LOOK_S = 2.0
"""Between two looks: so soon a node that has joined gets workers."""
SOON_S = 0.5
"""The same while a worker has no place."""
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Node:
    """One node. total, free: cores, GPUs and the like, by Ray's names. `free` is a moment old, and of parts of several
    GPUs only their sum is known; None where Ray does not tell it (through `ray://`)."""

    id: str
    total: Mapping[str, float]
    free: dict[str, float] | None = None

    def carries(self, cpus: float, gpus: float) -> int:
        """How many workers of so many cores and GPUs it has room for when nothing else is there; 0 where they ask for
        nothing. A worker with less than a GPU is given a part of one, never parts of two."""
        found = [_times(self.total.get("CPU", 0.0), cpus)] if cpus else []
        if gpus:
            have = self.total.get("GPU", 0.0)
            found.append(int(have) * _times(1.0, gpus) if gpus < 1 else _times(have, gpus))
        return min(found, default=0)

    def has_free(self, cpus: float, gpus: float, more: Mapping[str, float] | None = None) -> bool:
        """Whether so much is free, as far as sums tell. more: what is to become free besides."""
        if self.free is None:
            return True
        more = more or {}
        return all(
            self.free.get(name, 0.0) + more.get(name, 0.0) >= wanted - _ROUNDING
            for name, wanted in (("CPU", cpus), ("GPU", gpus))
        )


class Nodes:
    """What Ray says of its nodes, asked again every `LOOK_S`. event: told of nodes that join, leave or are to leave.

    alive: those that take workers. leaving: ids of those that Ray was told to drain, which take no new ones while what
    runs there may end. gone: ids of those that have left since the first look.
    """

    def __init__(self, event: Tell) -> None:
        self._event = event
        self.alive: Sequence[Node] = ()
        self.leaving: frozenset[str] = frozenset()
        self.gone: frozenset[str] = frozenset()
        self._known: dict[str, Node] = {}
        self._looked = 0.0
        self.look()

    @property
    def shut(self) -> frozenset[str]:
        """Ids of nodes where no work is to begin."""
        return self.leaving | self.gone

    def total(self, name: str) -> float:
        """The sum of a resource over the nodes that take workers."""
        return sum(node.total.get(name, 0.0) for node in self.alive)

    def look(self, after_s: float = 0.0) -> bool:
        """Asks Ray, unless that was done less than `after_s` ago; whether it did."""
        if time.monotonic() - self._looked < after_s:
            return False
        first, self._looked = not self._known and not self.gone, time.monotonic()
        free, draining = _asked()
        found = {
            node["NodeID"]: Node(
                node["NodeID"], dict(node["Resources"]), None if free is None else free.get(node["NodeID"], {})
            )
            for node in ray.nodes()
            if node["Alive"]
        }
        leaving = frozenset(draining).intersection(found)
        joined = [node for name, node in found.items() if name not in self._known]
        left = [node for name, node in self._known.items() if name not in found]
        told = [found[name] for name in leaving - self.leaving]
        self.alive, self.leaving = [node for name, node in found.items() if name not in leaving], leaving
        self.gone = (self.gone - found.keys()) | {node.id for node in left}
        self._known = found
        if not first:
            self._tell("joined", "", joined)
            self._tell("left", "; what its workers had in hand goes to others", left)
            self._tell("been told to leave", "; its workers begin nothing new", told)
        return True

    def _tell(self, what: str, then: str, nodes: Sequence[Node]) -> None:
        if not nodes:
            return
        one = len(nodes) == 1
        head = "a node has" if one else f"{len(nodes)} nodes have"
        now = f"{counted(len(self.alive), 'node')}, {_room(self.alive)}" if self.alive else "no node"
        self._event(
            f"{head} {what} ({_room(nodes)}){then if one else then.replace('its', 'their')}: the cluster has {now} now",
            About(level="info" if what == "joined" else "warning"),
        )


def _asked() -> tuple[dict[str, dict[str, float]] | None, Collection[str]]:
    """What is free on each node, and the ids of those that are being drained: as far as Ray tells, which has no public
    way to either. (None, nothing) through a Ray client."""
    try:
        return state.available_resources_per_node(), state.state.get_draining_nodes()
    except Exception:  # no class of Ray's own; what is not known here only makes the pools slower to give way
        return None, ()


def _times(have: float, each: float) -> int:
    return int(have / each + _ROUNDING)


def _room(nodes: Sequence[Node]) -> str:
    """`8 cores and 1 GPU`, of all together."""
    cores, gpus = (sum(node.total.get(name, 0.0) for node in nodes) for name in ("CPU", "GPU"))
    return f"{cores:g} {'core' if cores == 1 else 'cores'} and {gpus:g} {'GPU' if gpus == 1 else 'GPUs'}"

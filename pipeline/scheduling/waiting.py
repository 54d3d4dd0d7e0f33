"""What a job waits for, told within a minute: a worker that nothing can carry, a set-up that hangs, a slow store."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.watching.watcher import About, Tell
from pipeline.wording import span

FIRST_S = 45.0
"""A wait is told of after so long, then after twice as long, and so on."""


@dataclass(frozen=True)
class Wait:
    """key: what waits, the same each time. since: of `time.monotonic`. text: what for; `{}` stands for how long. about:
    what that is in, for programs."""

    key: tuple[Any, ...]
    since: float
    text: str
    about: About


class Waiting:
    """Tells of waits that last. event: told each sentence."""

    def __init__(self, event: Tell) -> None:
        self._event = event
        self._next: dict[tuple[Any, ...], float] = {}

    def look(self, waits: Iterator[Wait]) -> None:
        """The waits of this moment; one that is not among them has ended."""
        now = time.monotonic()
        found = {wait.key: wait for wait in waits}
        self._next = {key: due for key, due in self._next.items() if key in found}
        for key, wait in found.items():
            due = self._next.setdefault(key, FIRST_S)
            if now - wait.since >= due:
                self._next[key] = 2 * (now - wait.since)
                self._event(wait.text.replace("{}", span(now - wait.since)), wait.about)


def for_a_place(
    stage: str, cpus: float, gpus: float, nodes: Sequence[Mapping[str, float]], ours: bool = False
) -> str | None:
    """Why a worker of a stage has no place yet; None where it only waits for its turn.

    nodes: the resources of each that is alive; ours: whether the job has other workers, which may hold what it wants.
    """
    wants = " and ".join(
        [f"{cpus:g} {'core' if cpus == 1 else 'cores'}"] * bool(cpus)
        + [f"{gpus:g} {'GPU' if gpus <= 1 else 'GPUs'}"] * bool(gpus)
    )
    if any(node.get("CPU", 0.0) >= cpus and node.get("GPU", 0.0) >= gpus for node in nodes):
        return None if ours else f"{stage} has waited {{}} for a worker: this cluster has no {wants} free"
    has = ", ".join(sorted({f"{node.get('CPU', 0.0):g} cores and {node.get('GPU', 0.0):g} GPUs" for node in nodes}))
    return (
        f"{stage} has waited {{}} for a worker with {wants}: no node has that ({has or 'there is none'}); add one, or "
        f"set cluster.{stage}.cpus and cluster.{stage}.gpus to what there is"
    )

"""A cluster that is simulated: the calls of Ray that the pipeline makes, on actors that take time and no processor."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.scale_clock import Clock

NODE = "0" * 56
START_S = 5.0
"""From the order for a process to its first answer."""
SUBMIT_S, GET_S, WAIT_S, WAIT_EACH_S = 0.0005, 0.000012, 0.00001, 0.0000005
"""What a call of Ray takes in the driver: measured with Ray 2.60 and 1,000 calls under way."""
_NEVER = float("inf")


@dataclass(eq=False)
class Call:
    """An answer that is due. at: when it is there."""

    at: float = _NEVER
    value: Any = None
    error: BaseException | None = None


@dataclass(eq=False)
class Actor:
    """body: a method and its arguments -> its value, and seconds that it takes besides what it asks of the store. own:
    whether the processor time that the body takes here is its process's, or that of a stand-in for what it would do.

    placed_at: when its process answers; free_at: when it is through with what it was asked to work at; ended_at: when
    it was let go. spans: from, to, from, to ... of the units that it worked at; setup_s: what it took to be ready.
    """

    body: Callable[[str, tuple[Any, ...]], tuple[Any, float]]
    cpus: float
    gpus: float
    label: str
    own: bool
    placed_at: float = _NEVER
    free_at: float = 0.0
    ended_at: float = _NEVER
    spans: array[float] = field(default_factory=lambda: array("d"))
    setup_s: float = 0.0
    waiting: list[tuple[str, tuple[Any, ...], Call]] = field(default_factory=list)
    dead: bool = False


class Handle:
    """What the pipeline holds of an actor: `handle.method.remote(...)`."""

    def __init__(self, cluster: SimulatedRay, actor: Actor) -> None:
        self._cluster, self._actor = cluster, actor

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return _Method(self._cluster, self._actor, name)


@dataclass(frozen=True)
class _Method:
    cluster: SimulatedRay
    actor: Actor
    name: str

    def remote(self, *arguments: Any) -> Call:
        return self.cluster.call(self.actor, self.name, arguments)


class SimulatedRay:
    """Stands in for the module `ray`. cpus, gpus: of the whole cluster. actors: all that there have been; calls:
    method -> how often one of them was asked."""

    def __init__(self, clock: Clock, cpus: float, gpus: float) -> None:
        self.clock, self.cpus, self.gpus = clock, cpus, gpus
        self.free_cpus, self.free_gpus = cpus, gpus
        self.actors: list[Actor] = []
        self.calls: Counter[str] = Counter()
        self._pending: list[Actor] = []

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": self.cpus, "GPU": self.gpus}

    def free_by_node(self) -> dict[str, dict[str, float]]:
        return {NODE: {"CPU": self.free_cpus, "GPU": self.free_gpus}}

    def nodes(self) -> list[dict[str, Any]]:
        return [{"NodeID": NODE, "Alive": True, "Resources": self.cluster_resources()}]

    def get_runtime_context(self) -> Any:
        return _Context()

    def actor(self, body: Callable[..., tuple[Any, float]], cpus: float, gpus: float, label: str, own: bool) -> Handle:
        actor = Actor(body, cpus, gpus, label, own)
        with self.clock.aside("ray"):
            self.actors.append(actor)
            self._pending.append(actor)
            self._place()
        self.clock.sleep(SUBMIT_S)
        return Handle(self, actor)

    def call(self, actor: Actor, name: str, arguments: tuple[Any, ...]) -> Call:
        self.clock.sleep(SUBMIT_S)
        self.calls[name] += 1
        call = Call()
        if actor.placed_at == _NEVER:
            actor.waiting.append((name, arguments, call))
        else:
            self._begin(actor, name, arguments, call)
        return call

    def kill(self, handle: Handle, no_restart: bool = True) -> None:
        with self.clock.aside("ray"):
            actor = handle._actor
            if actor.dead:
                return
            actor.dead, actor.ended_at = True, self.clock.monotonic()
            if actor.spans and actor.spans[-1] > actor.ended_at:  # it was at work
                actor.spans[-2:] = array("d", [min(actor.spans[-2], actor.ended_at), actor.ended_at])
            if actor in self._pending:
                self._pending.remove(actor)
                return
            self.free_cpus += actor.cpus
            self.free_gpus += actor.gpus
            self._place()

    def get(self, call: Call, timeout: float | None = None) -> Any:
        self.clock.sleep(max(0.0, call.at - self.clock.monotonic()) + GET_S)
        if call.error is not None:
            raise call.error
        return call.value

    def wait(
        self, calls: Sequence[Call], num_returns: int = 1, timeout: float | None = None
    ) -> tuple[list[Call], list[Call]]:
        now = self.clock.monotonic()
        with self.clock.aside("ray"):
            ready = [call for call in calls if call.at <= now]
            first = now
            if not ready and timeout:
                first = min(min(call.at for call in calls), now + timeout)
                ready = [call for call in calls if call.at <= first]
        self.clock.sleep(first - now + WAIT_S + WAIT_EACH_S * len(calls))
        return ready[:num_returns], [*ready[num_returns:], *(call for call in calls if call.at > first)]

    def _place(self) -> None:
        """Gives places to those that wait for one, in their order; one that is too large holds back no other."""
        now = self.clock.monotonic()
        for actor in list(self._pending):
            if actor.cpus <= self.free_cpus + 1e-6 and actor.gpus <= self.free_gpus + 1e-6:
                self._pending.remove(actor)
                self.free_cpus -= actor.cpus
                self.free_gpus -= actor.gpus
                actor.placed_at = actor.free_at = now + START_S
                for name, arguments, call in actor.waiting:
                    self._begin(actor, name, arguments, call)
                actor.waiting.clear()

    def _begin(self, actor: Actor, name: str, arguments: tuple[Any, ...], call: Call) -> None:
        with self.clock.aside(actor.label) as spent:
            now = max(self.clock.monotonic(), actor.placed_at)
            try:
                call.value, seconds = actor.body(name, arguments)
            except Exception as error:
                call.error, seconds = error, 0.0
        seconds += spent.waited_s + (spent.worked_s if actor.own else 0.0)
        if name in ("node", "progress", "part"):  # whatever else it is at
            call.at = now + seconds
            return
        begins = max(now, actor.free_at)
        call.at = actor.free_at = begins + seconds
        if name == "setup":
            actor.setup_s = START_S + seconds
        else:
            actor.spans.extend((begins, call.at))


class _Context:
    def get_node_id(self) -> str:
        return NODE

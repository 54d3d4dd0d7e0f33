"""The loop that drives the job: units to workers, shards to packers, and a verdict on every process that dies.

Plain Ray actors and `ray.wait`; nothing is retried behind our back. `answers` decides what becomes of a unit that ends
badly: a batch that dies is split until the culprit is alone, and a scene that kills or hangs its process alone
`cluster.max_attempts` times is a failure (invariant 6).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import ray

from pipeline.ledger.lease import Lease
from pipeline.ledger.plan import Plan
from pipeline.ledger.rounds import FAILURES, Ledger
from pipeline.ledger.settings import mark_begun
from pipeline.scheduling.answers import Answers
from pipeline.scheduling.nodes import LOOK_S, SOON_S, Nodes
from pipeline.scheduling.packer import Packing
from pipeline.scheduling.partings import Partings
from pipeline.scheduling.pool import WorkerPool
from pipeline.scheduling.room import give_way
from pipeline.scheduling.shard_run import ShardRun
from pipeline.scheduling.waiting import Wait, Waiting
from pipeline.shards.unit import Unit
from pipeline.stage_kinds import EXTRACT, StageKind
from pipeline.storage.folder import Storage
from pipeline.watching.watcher import Crew, Watcher
from schemas.errors import JobError, LeaseLost
from schemas.job import JobSpec

_TICK_S = 0.5
_LOOK_EACH_S = 0.0002
"""Between two looks at all workers, for each of them."""


class Scheduler:
    """Runs every shard that is not settled through its stages.

    kinds: the stages to run: all of the ledger's, or the first of them; a shard that stops before the last stays open.

    Memory: the shards in hand (a few per worker) and one integer per settled shard, whatever the corpus's size.
    """

    def __init__(
        self,
        spec: JobSpec,
        kinds: list[StageKind],
        storage: Storage,
        plan: Plan,
        ledger: Ledger,
        given: Ledger | None,
        watcher: Watcher,
        lease: Lease | None = None,
    ) -> None:
        self.spec, self.kinds, self.storage, self.plan = spec, kinds, storage, plan
        self.ledger, self.given, self.watcher = ledger, given, watcher
        earlier = given.storage.url if given else None
        self.nodes = Nodes(watcher.event)
        has_gpus = self.nodes.total("GPU") > 0
        self.pools = {kind.name: WorkerPool(kind, spec, storage.url, earlier, has_gpus) for kind in kinds}
        self.scenes = plan.scene_count()
        self._follow()
        self.to_the_end = tuple(self.pools) == ledger.stages
        self.begun = {kind.name: set(storage.folders(f"_work/{kind.name}")) for kind in kinds}
        self.todo = iter(ledger.unsettled(plan.shards))
        self.active: dict[int, ShardRun] = {}
        self.lease = lease
        self.packing = Packing(storage, watcher.event, spec.source.coco, None if lease is None else lease.epoch)
        self.answers = Answers(spec.cluster, storage, watcher.event, self._finish, watcher.warned)
        self.waiting = Waiting(watcher.event)
        training = self.pools.get(EXTRACT.name)
        self.partings = Partings(training, spec.extract.checkpoint_every_s, watcher.event)
        self.stopping = False
        self._marked: set[str] = set()
        self._crews: dict[str, Crew] = {}
        self._look_at = time.monotonic()

    def stop(self) -> None:
        """Starts nothing new; what is whole is still packed and what trains is kept, then `run` returns."""
        self.stopping = True

    def crews(self) -> tuple[dict[str, Crew], float]:
        """The workers of each stage as they have been in this turn, and the GPUs of the cluster."""
        return self._crews, self.nodes.total("GPU")

    def run(self) -> None:
        """Until every shard is settled, or `stop` was called and whole shards are packed. Raises JobError when a
        stage cannot start, or fails too many scenes, and when another run has taken over."""
        try:
            self._admit()
            while self.active and not (self.stopping and self.partings.over() and not self.packing):
                self._turn()
            self._tell()
        except LeaseLost:  # what is on storage is another's now
            raise
        except JobError:
            self.answers.forget_doubted()  # what stops the job may be what failed them
            raise
        finally:
            for pool in self.pools.values():
                pool.close()
            self.packing.close()

    def _turn(self) -> None:
        if not self.stopping:
            self._grow()
            for pool in self.pools.values():
                pool.dispatch()
        looks = time.monotonic() >= self._look_at
        if looks:
            self._crews = {name: pool.crew() for name, pool in self.pools.items()}  # before short units have ended
        calls = self.packing.calls
        if not self.stopping:
            calls.extend(call for pool in self.pools.values() for call in pool.calls)
        if calls:
            finished, _ = ray.wait(calls, num_returns=1, timeout=_TICK_S)
            if finished:  # take everything that is ready by now
                finished, _ = ray.wait(calls, num_returns=len(calls), timeout=0)
        else:
            finished = []
            time.sleep(_TICK_S / 10)
        if self.lease is not None:  # before anything is told or begun: this process may have been stopped meanwhile
            self.lease.check()
        for call in finished:
            if call in self.packing:
                self._packed(call)
            else:
                pool = next(pool for pool in self.pools.values() if call in pool.calls)
                self.answers.answered(pool, pool.calls.pop(call))
        if looks:
            self._look()
        self._admit()

    def _look(self) -> None:
        """At every worker, which costs a turn more the more there are: so the less often, for a hundredth of the time
        at most."""
        workers = sum(len(pool.workers) for pool in self.pools.values())
        self._look_at = time.monotonic() + workers * _LOOK_EACH_S
        for pool in self.pools.values():
            self.answers.overdue(pool)
            pool.listen()
        self.packing.look(workers, len(self.nodes.alive))
        self.waiting.look(self._waits())
        self._tell()

    def _tell(self) -> None:
        self.watcher.tick({name: pool.in_hand() for name, pool in self.pools.items()})

    def _waits(self) -> Iterator[Wait]:
        yield from self.packing.waits()
        ours = any(worker.node is not None for pool in self.pools.values() for worker in pool.workers)
        for pool in self.pools.values():
            yield from pool.waits(ours)

    def _run_of(self, shard: int) -> ShardRun:
        return ShardRun(shard, self.kinds, self.plan, self.ledger, self.given, begun=self.begun)

    def _admit(self) -> None:
        """Takes shards in hand while the workers could use more: twice the scenes that they can have at once."""
        shard = self.spec.pack.scenes_per_shard
        most = 4 + 2 * sum(len(pool.workers) * min(1.0, self.sizes[name] / shard) for name, pool in self.pools.items())
        while len(self.active) < most and not self.stopping:
            number = next(self.todo, None)
            if number is None:
                return
            self.active[number] = self._run_of(number)
            self._advance(self.active[number])

    def _grow(self) -> None:
        homeless = any(pool.homeless() for pool in self.pools.values())
        looked = self.nodes.look(SOON_S if homeless else LOOK_S)
        if looked:
            self._follow()
        for pool in self.pools.values():
            pool.grow()
        if looked:
            give_way(list(self.pools.values()), self.nodes.alive)

    def _follow(self) -> None:
        for name, pool in self.pools.items():
            if pool.follow(self.nodes.alive, self.nodes.shut):
                self.watcher.event(
                    f"GPUs have come: workers of {name} take {pool.gpus:g} each from here on (cluster.{name}.gpus)"
                )
        self.sizes = {name: pool.unit_size(self.scenes) for name, pool in self.pools.items()}

    def _advance(self, shard: ShardRun) -> None:
        """The next step of a shard: units into a queue, its files to the packer, or done."""
        units = shard.advance(self.sizes)
        if units is None and not self.to_the_end:
            del self.active[shard.shard]  # its failures say that it is settled, and are committed once a round
        elif units is None:
            self.packing.pack_failures(shard)
        elif units:
            assert shard.kind is not None
            self._begin(shard.kind.name)
            self.pools[shard.kind.name].queue.extend(units)
        else:
            self.packing.pack(shard)

    def _begin(self, stage: str) -> None:
        """Marks a stage as begun. Whoever has taken over meanwhile may have read that it was not, and set it anew."""
        if stage in self._marked:
            return
        mark_begun(self.storage, stage)
        self._marked.add(stage)
        if self.lease is not None:
            self.lease.check(now=True)

    def _packed(self, call: Any) -> None:
        packed = self.packing.finished(call)
        if packed is None:
            return
        shard, record = packed.shard, packed.record
        self.answers.packed(packed.stage, shard.shard)
        self.ledger.note(packed.stage, shard.shard, shard.target, (record, packed.size))
        if packed.stage == FAILURES:
            del self.active[shard.shard]
            return
        size = sum(file.bytes for file in record.files)
        self.watcher.shard_packed(packed.stage, shard.shard, len(record.done), len(record.failures), size)
        if self.stopping:
            del self.active[shard.shard]
        else:
            self._advance(shard)

    def _finish(self, unit: Unit, scene_ids: list[str], failed: int) -> None:
        self.watcher.unit_done(unit.stage, len(scene_ids) - failed, failed)
        shard = self.active[unit.shard]
        shard.left.difference_update(scene_ids)
        if not shard.left:
            self.packing.pack(shard)

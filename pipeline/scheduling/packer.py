"""Shards in the hands of packers: Ray actors with no stage code in them, and what they have been asked for.

The first packer lives on the driver's node, which is there for as long as the driver. One writes about 12,000 scenes an
hour where a request takes 30 ms; where shards have to wait, more are started, spread over the cluster, and end again
when there is nothing left for them. One that is lost with its node is replaced, and its shard goes to another.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.ledger.commits import Commit
from pipeline.ledger.lease import check_epoch
from pipeline.ledger.rounds import FAILURES
from pipeline.scheduling.cause import cause_of
from pipeline.scheduling.shard_run import ShardRun
from pipeline.scheduling.waiting import Wait
from pipeline.shards.account_lines import shard_account
from pipeline.shards.pack import PackOrder, pack, pack_rows
from pipeline.shards.reader import OutputReader
from pipeline.shards.whole import PartDamaged
from pipeline.storage.folder import Storage
from pipeline.watching.watcher import About, Tell
from pipeline.wording import counted
from schemas.errors import JobError, LeaseLost, StoreAway, StoreFull

PACK_ATTEMPTS = 3
"""Of one shard that a living packer cannot write."""
PACK_LOSSES = 20
"""Packers that one shard may lose: none of them is at fault, but a shard that takes each with it is."""
DEADLINE_S = 1800.0
_PAUSE_S = 2.0
"""Before another attempt, and twice as long before the next."""
_BEHIND_S = 5.0
"""A shard that has waited so long is given a packer of its own, as far as there may be more; one without a shard ends
after `_IDLE_S`."""
_IDLE_S = 60.0
_WORKERS_EACH = 16
_MOST = 64


class PackerImpl:
    """Packs shards; no stage code, no torch. epoch: of the driver's lease, which is looked at before each commit, as
    this process may outlive the driver."""

    def __init__(self, output: str, epoch: int | None = None) -> None:
        self.storage = Storage(output)
        self.check = (lambda: None) if epoch is None else partial(check_epoch, self.storage, epoch)

    def pack(self, order: PackOrder) -> tuple[Commit, int]:
        """Packs a shard; returns what the driver keeps of its commit, and the bytes of the commit's file."""
        return _told(self.storage.again(lambda: pack(self.storage, order, self.check)))

    def pack_failures(
        self, shard: int, round_: int, rows: list[dict[str, Any]], plan: list[dict[str, Any]] | None, coco: str | None
    ) -> tuple[Commit, int]:
        """Packs the failures of a shard, and its account; returns the same. plan: its rows; None where its files are
        another OUTPUT's."""
        tables = {FAILURES: rows}
        if plan is not None:
            lines = shard_account(OutputReader(self.storage), shard, plan, rows, coco)
            tables["account"] = [line.row() for line in lines]
        return _told(self.storage.again(lambda: pack_rows(self.storage, FAILURES, shard, round_, tables, self.check)))


def _told(record: Commit) -> tuple[Commit, int]:
    return record.without_members(), len(record.to_json())


Packer = ray.remote(PackerImpl)


@dataclass(frozen=True)
class Packed:
    """A shard of a stage, or (`stage` is `FAILURES`) of the failures, that is committed. record: without its
    members. size: of the commit's file, bytes."""

    shard: ShardRun
    stage: str
    record: Commit
    size: int


@dataclass
class _Order:
    """attempts: that a packer has answered with an error; losses: packers that were lost over it. since: when it was
    given to `packer`, or began to wait for one, or is to, by `time.monotonic`."""

    shard: ShardRun
    stage: str
    attempts: int = 0
    losses: int = 0
    since: float = field(default_factory=lambda: time.monotonic())
    packer: Any = None

    @property
    def what(self) -> str:
        return f"shard {self.shard.shard} of {self.stage}"

    @property
    def about(self) -> About:
        return About(self.stage, shard=self.shard.shard, level="warning")


class Packing:
    """What is being packed: one shard a packer, the others wait here. event: told of an attempt that failed. coco:
    address of the annotation file, if any. epoch: of the lease under which it is done."""

    def __init__(self, storage: Storage, event: Tell, coco: str | None = None, epoch: int | None = None) -> None:
        self._storage, self._event, self._coco, self._epoch = storage, event, coco, epoch
        self._idle: dict[Any, float] = {}  # packer -> since when
        self._orders: dict[Any, _Order] = {}
        self._waiting: deque[_Order] = deque()
        self._later: list[_Order] = []
        self._limit = 1

    def __len__(self) -> int:
        return len(self._orders) + len(self._waiting) + len(self._later)

    def __contains__(self, call: Any) -> bool:
        return call in self._orders

    @property
    def calls(self) -> list[Any]:
        """What `ray.wait` waits for."""
        return list(self._orders)

    def pack(self, shard: ShardRun) -> None:
        """The stage that the shard is in: all its scenes have parts."""
        assert shard.kind is not None
        self._give(_Order(shard, shard.kind.name))

    def pack_failures(self, shard: ShardRun) -> None:
        """The failures of a shard that is through all stages."""
        self._give(_Order(shard, FAILURES))

    def finished(self, call: Any) -> Packed | None:
        """What a call that has ended came to; None where it is to be made once more.

        Raises RuntimeError when packers have failed at it `PACK_ATTEMPTS` times, or it has lost `PACK_LOSSES`;
        JobError where what it is made of was damaged, StoreAway where the store did not answer for long, StoreFull
        where it has no room left, and LeaseLost where another run has taken over.
        """
        order = self._orders.pop(call)
        try:
            record, size = ray.get(call)
        except RayActorError as error:
            self._lost(order, cause_of(error))
            return None
        except RayError as error:
            self._idle[order.packer] = time.monotonic()
            cause = getattr(error, "cause", None)
            if isinstance(cause, LeaseLost):
                raise cause from None
            if isinstance(cause, (StoreAway, StoreFull)):
                raise type(cause)(*cause.args) from error
            if isinstance(cause, PartDamaged):
                raise JobError(
                    f"{order.what} could not be written: {cause.filename} was damaged since a worker left it, and has "
                    "been taken away; the same command makes anew what it held"
                ) from error
            self._failed(order, cause_of(error))
            return None
        self._idle[order.packer] = time.monotonic()
        self._give()
        return Packed(order.shard, order.stage, record, size)

    def look(self, workers: int, nodes: int) -> None:
        """Called every turn: starts what has waited long enough, ends what takes too long, and packers that have had
        nothing to do. workers: of all stages; nodes: of the cluster."""
        self._limit = min(_MOST, 1 + nodes + workers // _WORKERS_EACH)
        now = time.monotonic()
        due, self._later = [o for o in self._later if o.since <= now], [o for o in self._later if o.since > now]
        for call, order in list(self._orders.items()):
            if now - order.since > DEADLINE_S:
                del self._orders[call]
                self._end(order.packer)
                self._failed(order, f"no answer within {DEADLINE_S:g} s; the process was killed")
        self._give(*due)
        for packer, since in list(self._idle.items()):
            if now - since > _IDLE_S and len(self._idle) + len(self._orders) > 1:
                self._end(packer)

    def waits(self) -> Iterator[Wait]:
        """The shard that has been in hand for longest, and the one that has waited for longest, for `Waiting`."""
        oldest = min(self._orders.values(), key=lambda order: order.since, default=None)
        if oldest is not None:
            text = f"writing {oldest.what} has taken {{}}: the store is slow, or does not answer"
            yield Wait(("pack", oldest.stage, oldest.shard.shard), oldest.since, text, oldest.about)
        if self._waiting:
            first = self._waiting[0]
            text = (
                f"{first.what} has waited {{}} to be written, {counted(len(self._waiting), 'shard')} in line: "
                f"{len(self._orders)} of at most {self._limit} processes write, and the store is slow"
            )
            yield Wait(("line",), first.since, text, first.about)

    def close(self) -> None:
        for packer in [*self._idle, *(order.packer for order in self._orders.values())]:
            self._end(packer)

    def _failed(self, order: _Order, why: str) -> None:
        order.attempts += 1
        if order.attempts >= PACK_ATTEMPTS:
            raise RuntimeError(f"{order.what} could not be written: {why}")
        self._event(f"writing {order.what} failed ({why}); once more", replace(order.about, retry="packer"))
        self._again(order, order.attempts)

    def _lost(self, order: _Order, why: str) -> None:
        self._end(order.packer)
        order.losses += 1
        if order.losses >= PACK_LOSSES:
            raise RuntimeError(f"{order.what} could not be written: each of {order.losses} processes was lost: {why}")
        lost = f"the process that wrote {order.what} was lost ({why}); another writes it"
        self._event(lost, replace(order.about, retry="packer"))
        self._again(order, order.losses)

    def _again(self, order: _Order, times: int) -> None:
        order.since, order.packer = time.monotonic() + min(60.0, _PAUSE_S * 2 ** (times - 1)), None
        self._later.append(order)

    def _end(self, packer: Any) -> None:
        self._idle.pop(packer, None)
        with contextlib.suppress(Exception):
            ray.kill(packer)

    def _give(self, *more: _Order) -> None:
        """Shards that wait to packers that have none, or to new ones where there is none yet or a wait has lasted."""
        self._waiting += more
        now = time.monotonic()
        while self._waiting:
            if self._idle:
                packer, _ = self._idle.popitem()  # the last that was busy, so that one too many is seen to be idle
            elif not self._orders or (len(self._orders) < self._limit and self._waiting[0].since < now - _BEHIND_S):
                here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
                where: Any = "SPREAD" if self._orders else here
                packer = Packer.options(num_cpus=0, scheduling_strategy=where).remote(self._storage.url, self._epoch)
            else:
                return
            self._start(self._waiting.popleft(), packer)

    def _start(self, order: _Order, packer: Any) -> None:
        shard = order.shard
        if order.stage == FAILURES:
            plan = None if shard.given else shard.plan.rows(shard.shard)
            call = packer.pack_failures.remote(shard.shard, shard.target, shard.failures(), plan, self._coco)
        else:
            call = packer.pack.remote(shard.order)
        self._orders[call], order.packer, order.since = order, packer, time.monotonic()

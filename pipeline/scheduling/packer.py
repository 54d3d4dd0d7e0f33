"""Shards in the hands of the packer: one Ray actor with no stage code in it, and what it has been asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError

from pipeline.ledger.commits import Commit
from pipeline.ledger.rounds import FAILURES
from pipeline.scheduling.cause import cause_of
from pipeline.scheduling.shard_run import ShardRun
from pipeline.shards.account import shard_account
from pipeline.shards.pack import PackOrder, pack, pack_rows
from pipeline.shards.reader import OutputReader
from pipeline.storage.folder import Storage

PACK_ATTEMPTS = 3


class PackerImpl:
    """Packs shards; no stage code and no torch in this process."""

    def __init__(self, output: str) -> None:
        self.storage = Storage(output)

    def pack(self, order: PackOrder) -> tuple[int, int]:
        """Packs a shard; returns how many scenes have results, and how many have none."""
        record: Commit = pack(self.storage, order)
        return len(record.done), len(record.failures)

    def pack_failures(
        self, shard: int, round_: int, rows: list[dict[str, Any]], plan: list[dict[str, Any]] | None, coco: str | None
    ) -> tuple[int, int]:
        """Packs the failures of a shard, and its account. plan: its rows; None where its files are another OUTPUT's."""
        tables = {FAILURES: rows}
        if plan is not None:
            lines = shard_account(OutputReader(self.storage), shard, plan, rows, coco)
            tables["account"] = [line.row() for line in lines]
        pack_rows(self.storage, FAILURES, shard, round_, tables)
        return 0, len(rows)


Packer = ray.remote(PackerImpl)


@dataclass(frozen=True)
class Packed:
    """A shard of a stage, or (`stage` is `FAILURES`) of the failures, that is committed."""

    shard: ShardRun
    stage: str
    done: int
    failed: int


@dataclass
class _Order:
    shard: ShardRun
    stage: str
    attempts: int


class Packing:
    """What is being packed. event: told of an attempt that failed. coco: address of the annotation file, if any."""

    def __init__(self, storage: Storage, event: Callable[[str], None], coco: str | None = None) -> None:
        self._actor: Any = Packer.options(num_cpus=0, max_restarts=-1).remote(storage.url)
        self._event, self._coco = event, coco
        self._orders: dict[Any, _Order] = {}

    def __len__(self) -> int:
        return len(self._orders)

    def __contains__(self, call: Any) -> bool:
        return call in self._orders

    @property
    def calls(self) -> list[Any]:
        """What `ray.wait` waits for."""
        return list(self._orders)

    def pack(self, shard: ShardRun) -> None:
        """The stage that the shard is in: all its scenes have parts."""
        assert shard.kind is not None
        self._start(_Order(shard, shard.kind.name, 1))

    def pack_failures(self, shard: ShardRun) -> None:
        """The failures of a shard that is through all stages."""
        self._start(_Order(shard, FAILURES, 1))

    def finished(self, call: Any) -> Packed | None:
        """What a call that has ended came to; None where it failed and is made once more.

        Raises RuntimeError when it has failed `PACK_ATTEMPTS` times.
        """
        order = self._orders.pop(call)
        try:
            done, failed = ray.get(call)
        except RayError as error:
            what = f"shard {order.shard.shard} of {order.stage}"
            if order.attempts >= PACK_ATTEMPTS:
                raise RuntimeError(f"{what} could not be written: {cause_of(error)}") from error
            self._event(f"writing {what} failed ({cause_of(error)}); once more")
            self._start(_Order(order.shard, order.stage, order.attempts + 1))
            return None
        return Packed(order.shard, order.stage, done, failed)

    def close(self) -> None:
        ray.kill(self._actor)

    def _start(self, order: _Order) -> None:
        shard = order.shard
        if order.stage == FAILURES:
            plan = None if shard.given else shard.plan.rows(shard.shard)
            call = self._actor.pack_failures.remote(shard.shard, shard.target, shard.failures(), plan, self._coco)
        else:
            call = self._actor.pack.remote(shard.order)
        self._orders[call] = order

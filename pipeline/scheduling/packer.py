"""The Ray actor that makes shards of parts, and what it has in hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ray

from pipeline.ledger.commits import Commit
from pipeline.scheduling.shard_run import ShardRun
from pipeline.shards.pack import PackOrder, pack, pack_rows
from pipeline.storage.folder import Storage


class PackerImpl:
    """Packs shards; no stage code and no torch in this process."""

    def __init__(self, output: str) -> None:
        self.storage = Storage(output)

    def pack(self, order: PackOrder) -> tuple[list[str], int]:
        """Packs a shard; returns its scenes with results, and the number of those without."""
        record: Commit = pack(self.storage, order)
        return record.done, len(record.failures)

    def pack_failures(self, shard: int, round_: int, rows: list[dict[str, Any]]) -> None:
        pack_rows(self.storage, "failures", "failures", shard, round_, rows)


Packer = ray.remote(PackerImpl)


PACK_ATTEMPTS = 3


@dataclass
class Packing:
    shard: ShardRun
    attempts: int
    failures_only: bool

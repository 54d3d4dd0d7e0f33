"""What several jobs have in common is made once and handed on: committed shards of the first stages, and shared files.

A job that adopts shards owns copies of them, committed as if it had made them itself. So it is an ordinary OUTPUT: its
report, its tables, `unscene status`, `retry` and `export` need to know of no other folder.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.ledger.commits import Commit, commit, commit_name, read_commit, rounds
from pipeline.ledger.plan import copy_plan
from pipeline.shards.whole import as_committed
from pipeline.storage.folder import SHARED, Storage
from schemas.errors import OutputError


def adopt(storage: Storage, earlier: Storage, stages: Sequence[str]) -> None:
    """Takes over the plan of `earlier` and its committed shards of `stages`, where `storage` has none yet.

    stages: in the order in which they run. Safe to repeat, and to be killed in: a shard is there once it is committed.
    """
    copy_plan(storage, earlier)
    for stage in stages:
        here = rounds(storage, stage)
        for shard, round_ in sorted(rounds(earlier, stage).items()):
            if shard not in here:
                _copy_shard(storage, earlier, read_commit(earlier, stage, shard, round_))


def hand_on(source: Storage, target: Storage) -> None:
    """Copies files that a job computes once a run. Their names say what they were made of, so the same name is the
    same content."""
    there = target.names(SHARED)
    for name in sorted(source.names(SHARED)):
        if name not in there and not name.endswith((".partial", ".tmp")):
            target.write(f"{SHARED}/{name}", source.read(f"{SHARED}/{name}"))


def _copy_shard(storage: Storage, earlier: Storage, record: Commit) -> None:
    for file in record.files:
        target = f"{record.folder}/{file.path.rsplit('/', 1)[1]}"
        with earlier.open_read(file.path) as source, storage.open_write(target) as copy:
            while block := source.read(1 << 20):
                copy.write(block)
        if not as_committed(storage, record, file, target):
            raise OutputError(
                f"{earlier.url_of(file.path)} is not what was committed; restore it, or delete "
                f"{earlier.url_of(commit_name(record.stage, record.shard, record.round))} to have the shard made again"
            )
    commit(storage, record)

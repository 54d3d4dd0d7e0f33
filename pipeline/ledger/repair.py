"""What an OUTPUT needs before a run goes on: what is committed is under its plain names, and whole."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.ledger.commits import attempt_folder, attempts, harmed, publish, read_commit
from pipeline.ledger.committed import Committed
from pipeline.storage.folder import Storage
from pipeline.storage.many import in_order


def repair(storage: Storage, stages: Sequence[str], committed: Committed | None = None) -> None:
    """Finishes publishing what is committed, sweeps attempts that lost, misses nothing. committed: of these stages,
    where somebody has listed them already.

    Raises OutputError when a committed file is gone or has another size.
    """
    committed = committed or Committed(storage, stages)
    for stage in stages:
        latest = committed.rounds(stage)
        for shard, round_, attempt in attempts(storage, stage):
            last = latest.get(shard, -1)
            if last < round_:
                continue  # not decided
            found = read_commit(storage, stage, shard, last)
            if found.attempt == attempt:
                publish(storage, found)
            else:
                storage.delete_folder(attempt_folder(stage, shard, attempt))
    check_files(committed)


def check_files(committed: Committed) -> None:
    """Raises OutputError if a committed shard's file is missing or has another size than its commit says. One listing a
    folder."""
    storage = committed.storage
    files = {stage: committed.files(stage) for stage in committed.stages}
    folders = list(dict.fromkeys(path.rpartition("/")[0] for paths, _ in files.values() for path in paths))
    listings = dict(zip(folders, in_order(storage.names, folders), strict=True))
    for stage, (paths, sizes) in files.items():
        for i, (path, size) in enumerate(zip(paths, sizes, strict=True)):
            folder, _, name = path.rpartition("/")
            if (there := listings[folder].get(name)) != size:
                raise harmed(storage, committed.place_of_file(stage, i), path, size, there)

"""What has to be true of an OUTPUT after a night of `benchmarks/chaos.py`, whatever went on in it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from benchmarks.chaos_job import STAGES, TABLES
from pipeline.ledger.commits import commits_of
from pipeline.ledger.rounds import FAILURES
from pipeline.shards.tables import read_rows
from pipeline.shards.whole import as_committed
from pipeline.storage.folder import Storage


@dataclass
class Verdict:
    """scenes: files of the source that have come to their end. lost, twice: rows that the calm run has and this one
    does not, and rows that are there more than once. files: that commits name; wrong: of those the ones of another
    size or hash, and plain files that are not as after the calm run. left: what nobody needs any more. rows: those that
    only one of the two has, in words."""

    scenes: int = 0
    lost: int = 0
    twice: int = 0
    files: int = 0
    wrong: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not (self.lost or self.twice or self.wrong or self.left)


def verdict(night: Storage, calm: Storage) -> Verdict:
    """Reads both OUTPUTs whole."""
    found = Verdict()
    for table in TABLES:
        here, there = Counter(_rows(night, table)), Counter(_rows(calm, table))
        found.lost += sum((there - here).values())
        for run, more in (("the calm run", there - here), ("this run", here - there)):
            found.rows += [f"{table}, in {run} only: {row}" for row in sorted(more.elements())]
        found.twice += sum(count - 1 for count in here.values())
        if table == "scenes":
            found.scenes = sum(here.values())
    for stage in (*STAGES, FAILURES):
        for commit in commits_of(night, stage):
            for file in commit.files:
                found.files += 1
                if not as_committed(night, commit, file):
                    found.wrong.append(f"{file.path}: not as its commit says")
    ours, theirs = _plain(night), _plain(calm)
    found.wrong += [f"{name}: not as after the calm run" for name in sorted(ours.keys() | theirs.keys())
                    if ours.get(name) != theirs.get(name)]  # fmt: skip
    found.left = left_behind(night)
    return found


def left_behind(storage: Storage) -> list[str]:
    """What lies there beside plain files, the ledger and the one lease that was released; and uploads in parts that
    nobody has ended, where the store is an S3."""
    names = list(_names(storage))
    wrong = [name for name in names if name.startswith(("_work/", "_attempts/", "_probe")) or name.endswith(".tmp")]
    leases = [name for name in names if name.startswith("_lease/")]
    if "s3" in storage.fs.protocol:
        bucket, _, below = storage.root.partition("/")
        open_ = storage.fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=f"{below}/")
        wrong += [f"an upload of {upload['Key']}" for upload in open_.get("Uploads", [])]
    return wrong + (leases if len(leases) != 1 else [])


def _rows(storage: Storage, table: str) -> Iterator[str]:
    shards = (name[-14:-8] for name in storage.names(table) if name.endswith(".parquet"))
    for shard in sorted(int(shard) for shard in shards if shard.isdigit()):
        for row in read_rows(storage, table, shard):
            row.pop("attempt", None)
            yield repr(sorted(row.items()))


def _plain(storage: Storage) -> dict[str, str]:
    """File of a table -> the hash of its bytes."""
    names = (name for name in _names(storage) if name.split("/")[0] in TABLES)
    return {name: hashlib.sha256(storage.read(name)).hexdigest() for name in names}


def _names(storage: Storage) -> Iterator[str]:
    storage.fs.invalidate_cache()
    for path in sorted(storage.fs.find(storage.root)):
        yield path.removeprefix(storage.root).lstrip("/")

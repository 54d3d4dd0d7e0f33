"""The ledger: a shard of a stage exists when its commit exists (invariant 2), and only the first attempt to commit wins
(invariant 3).

An attempt writes its files under `_attempts/<stage>/<shard>-<attempt>/`, then creates `_commits/<stage>/<shard>.json`
if absent; the winner's files are then published under their plain names, where any reader finds them. Publishing is
repeated on resume when a crash came in between, so a commit is enough. `unscene retry` makes round 1, 2 ... of a shard
(`000000.r1.json`): a later round stands in for the earlier one, under the same plain names.

An attempt is swept only when its round is decided: until then whoever writes it may be alive, on a machine that nobody
hears of, and commit it after all.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from pipeline.ledger.damaged import readable
from pipeline.storage.folder import Storage
from pipeline.storage.many import in_order
from schemas.errors import OutputError

_NAME = re.compile(r"^(\d{6,})(?:\.r(\d+))?\.json$")
_ATTEMPT = re.compile(r"^(\d{6,})-((?:r(\d+)\.)?.+)$")


@dataclass(frozen=True)
class ShardFile:
    """One file of a shard: its plain name, its size and hash, its rows (0 for a tar). sha256: None of a tar that the
    store put together by itself; `Commit.crc32` knows its members."""

    path: str
    bytes: int
    sha256: str | None
    rows: int


@dataclass(frozen=True)
class Commit:
    """What makes a shard exist.

    done: scenes with results in this shard; `failures`: rows of FAILURES for scenes without.
    members: tar member name -> [offset, size] in the shard's tar, so that one scene is one ranged read.
    crc32: of each member, in their order: plain names are those of every round, so whoever reads one makes sure that
    it is of this one. None in the commits of an older Unscene.
    tally: what its rows come to (`pipeline/shards/tally.py`), so that whoever sums up an OUTPUT reads no tables; None
    where nobody sums them up, and in the commits of an older Unscene.
    """

    stage: str
    shard: int
    round: int
    attempt: str
    files: list[ShardFile]
    done: list[str]
    failures: list[dict[str, Any]]
    members: dict[str, list[int]] = field(default_factory=dict)
    seconds: float = 0.0
    finished_at: float = 0.0
    host: str = ""
    crc32: list[int] | None = None
    tally: dict[str, Any] | None = None

    @cached_property
    def sums(self) -> dict[str, int]:
        """Member -> its CRC-32; empty where the commit knows none."""
        return {} if self.crc32 is None else dict(zip(self.members, self.crc32, strict=True))

    @property
    def folder(self) -> str:
        """Where the attempt wrote its files before they were published."""
        return attempt_folder(self.stage, self.shard, self.attempt)

    def scenes(self) -> set[str]:
        """Scenes that went through the stage, with results or without."""
        return {*self.done, *(failure["scene_id"] for failure in self.failures)}

    def without_members(self) -> Commit:
        """What a driver keeps of it: places in a tar take most of a large shard's commit, and are for readers."""
        return replace(self, members={}, crc32=None)

    def to_json(self) -> bytes:
        return json.dumps(asdict(self), indent=1).encode()

    @staticmethod
    def from_json(data: bytes) -> Commit:
        tree = json.loads(data)
        return Commit(**{**tree, "files": [ShardFile(**file) for file in tree["files"]]})


def new_attempt(round_: int) -> str:
    """An id for one try to write a shard in a round; it tells the round, so that the try can be swept after it."""
    return f"r{round_}.{uuid.uuid4().hex[:12]}" if round_ else uuid.uuid4().hex[:12]


def attempt_folder(stage: str, shard: int, attempt: str) -> str:
    return f"_attempts/{stage}/{shard:06d}-{attempt}"


def commit_name(stage: str, shard: int, round_: int) -> str:
    suffix = f".r{round_}" if round_ else ""
    return f"_commits/{stage}/{shard:06d}{suffix}.json"


def commit(storage: Storage, record: Commit) -> bool:
    """Creates the commit if absent and publishes its files. False: another attempt was first; ours is removed.

    A commit that is there and is ours was made by this very call, whose first answer was lost.
    """
    if not storage.create(commit_name(record.stage, record.shard, record.round), record.to_json()):
        found = read_commit(storage, record.stage, record.shard, record.round)
        if found.attempt != record.attempt:
            storage.delete_folder(record.folder)
            return False
    publish(storage, record)
    return True


def publish(storage: Storage, record: Commit) -> None:
    """Gives the committed files their plain names, then removes the attempt's folder. Safe to repeat, and by several at
    once: of an attempt that a later round has overtaken nothing is published any more.

    Raises OutputError when a file is neither in the attempt's folder nor under its plain name.
    """
    if record.round:  # an attempt at an earlier round that comes back late must find nothing to publish
        sweep_attempts(storage, record.stage, {record.shard: record.round}, keep=record.attempt)
    for file in record.files:
        _publish_file(storage, record, file)
    if record.round:  # an earlier round may have left a tar where nothing is left to put into one
        kept = {file.path for file in record.files}
        for tar in (file.path.removesuffix(".parquet") + ".tar" for file in record.files):
            if tar not in kept and tar.endswith(f"{record.shard:06d}.tar") and not _overtaken(storage, record):
                storage.delete(tar)
    storage.delete_folder(record.folder)


def _publish_file(storage: Storage, record: Commit, file: ShardFile) -> None:
    folder, name = file.path.rsplit("/", 1)
    source = f"{record.folder}/{name}"
    if storage.exists(source):
        with suppress(FileNotFoundError):  # another has published it since we looked, and swept
            storage.publish(source, file.path)
            return
    size = storage.names(folder).get(name)
    if size != file.bytes and not _overtaken(storage, record):
        raise harmed(storage, (record.stage, record.shard, record.round), file.path, file.bytes, size)


def _overtaken(storage: Storage, record: Commit) -> bool:
    return rounds(storage, record.stage).get(record.shard, record.round) > record.round


def latest(storage: Storage, stage: str) -> dict[int, tuple[int, int]]:
    """Shard -> its latest committed round, and the bytes of that commit. One listing."""
    found: dict[int, tuple[int, int]] = {}
    for name, size in storage.names(f"_commits/{stage}").items():
        match = _NAME.match(name)
        if match:
            shard, round_ = int(match[1]), int(match[2] or 0)
            if shard not in found or round_ > found[shard][0]:
                found[shard] = round_, size
    return found


def rounds(storage: Storage, stage: str) -> dict[int, int]:
    """Shard -> its latest committed round. One listing."""
    return {shard: round_ for shard, (round_, _) in latest(storage, stage).items()}


def read_commit(storage: Storage, stage: str, shard: int, round_: int) -> Commit:
    """Raises OutputError where it is damaged."""
    return read_sized(storage, stage, shard, round_)[0]


def read_sized(storage: Storage, stage: str, shard: int, round_: int) -> tuple[Commit, int]:
    """The same, and the bytes of its file."""
    name = commit_name(stage, shard, round_)
    data = storage.read(name)
    with readable(storage, name, f"delete it: the next run makes {stage} of shard {shard:06d} again"):
        return Commit.from_json(data), len(data)


def commits_of(storage: Storage, stage: str) -> Iterator[Commit]:
    """The latest commit of every shard, in order, a window of them in memory."""
    yield from in_order(lambda place: read_commit(storage, stage, *place), sorted(rounds(storage, stage).items()))


def sweep_attempts(storage: Storage, stage: str, latest: dict[int, int], keep: str | None = None) -> None:
    """Removes attempts at rounds that are decided: a commit of the same round or a later one is there, so that theirs
    cannot count any more. latest: shard -> its last committed round. keep: the attempt that won."""
    for shard, round_, attempt in attempts(storage, stage):
        if attempt != keep and round_ <= latest.get(shard, -1):
            storage.delete_folder(attempt_folder(stage, shard, attempt))


def attempts(storage: Storage, stage: str) -> list[tuple[int, int, str]]:
    """(shard, round, attempt) of every attempt that has left anything."""
    found = (_ATTEMPT.match(folder) for folder in storage.folders(f"_attempts/{stage}"))
    return [(int(match[1]), int(match[3] or 0), match[2]) for match in found if match]


def harmed(storage: Storage, place: tuple[str, int, int], path: str, written: int, size: int | None) -> OutputError:
    """The error for a file of a shard that has another size than the one it was written with, or (None) is gone. place:
    stage, shard and round of its commit."""
    what = "is gone" if size is None else f"has {size} bytes, not the {written} it was written with"
    return OutputError(f"{storage.url_of(path)} {what}; {restored(storage, place)}")


def restored(storage: Storage, place: tuple[str, int, int] | None) -> str:
    """What to do about a damaged file of a shard. place: as for `harmed`; None where nothing is committed there."""
    if place is None:
        return "restore it"
    return (
        f"restore it, or delete {storage.url_of(commit_name(*place))} and run the job again, which makes the shard anew"
    )

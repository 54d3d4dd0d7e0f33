"""From the parts of a shard to its files and its commit."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pipeline.ledger.commits import Commit, ShardFile, attempt_folder, commit, new_attempt, publish, read_commit
from pipeline.shards.account import account_tally
from pipeline.shards.concept_counts import handles_tally
from pipeline.shards.hashed_file import write_file
from pipeline.shards.parts import Part, files_of, find_parts, members, work_folder
from pipeline.shards.reader import Members, OutputReader, Row, by_scene
from pipeline.shards.scores import scores_tally
from pipeline.shards.tables import table_name, write_table
from pipeline.shards.tars import BLOCK, closing, padded, tar_name
from pipeline.shards.whole import PartDamaged, Passing
from pipeline.storage.folder import Storage
from pipeline.storage.pieces import Composed, Piece
from schemas.outcomes import as_told


def _nobody_else() -> None:
    """The check of whoever packs with no lease to lose."""


@dataclass(frozen=True)
class PackOrder:
    """Which shard to pack.

    scene_ids: every scene whose part belongs into the shard, in plan order.
    earlier: round of the commit whose results are taken over (`unscene retry`), or None.
    order: every scene of the shard's plan, in order; rows and members follow it.
    uris: scene -> where its file is, for its failure row.
    fallback: scene -> the row it has even when its process died before it could write one.
    extra: rows of the shard that no scene makes (duplicates).
    """

    stage: str
    table: str
    tar: bool
    shard: int
    round: int
    scene_ids: tuple[str, ...]
    order: tuple[str, ...]
    earlier: int | None = None
    uris: dict[str, str] = field(default_factory=dict)
    fallback: dict[str, dict[str, Any]] = field(default_factory=dict)
    extra: tuple[dict[str, Any], ...] = ()


def pack(storage: Storage, order: PackOrder, check: Callable[[], None] = _nobody_else) -> Commit:
    """Writes the shard's Parquet from the heads of its parts, has its tar put together of what they hold, and commits.
    Where no scene has a file there is no tar: readers stumble over one of nothing.

    check: raises where the run that asked for it is not to commit any more.
    Returns the commit that counts: ours, or that of the attempt that was first.
    """
    record = _committed(storage, order.stage, order.shard, order.round)
    if record is None:
        try:
            record = _write(storage, order, check)
        except OSError:  # its parts are gone, and earlier files are others, once another attempt has committed
            record = _committed(storage, order.stage, order.shard, order.round)
            if record is None:
                raise
    storage.delete_folder(work_folder(order.stage, order.shard, order.round))
    return record


def _committed(storage: Storage, stage: str, shard: int, round_: int) -> Commit | None:
    """The round's commit where there is one, published."""
    try:
        record = read_commit(storage, stage, shard, round_)
    except FileNotFoundError:
        return None
    publish(storage, record)
    return record


def _write(storage: Storage, order: PackOrder, check: Callable[[], None]) -> Commit:
    started, attempt = time.time(), new_attempt(order.round)
    folder = attempt_folder(order.stage, order.shard, attempt)
    rows: list[dict[str, Any]] = []
    done: list[Part] = []
    failures: list[dict[str, Any]] = []
    before = [] if order.earlier is None else read_commit(storage, order.stage, order.shard, order.earlier).failures
    tried = {failure["scene_id"]: failure["attempt"] for failure in before}
    for part in _parts(storage, order):
        rows.extend(part.rows)
        if part.failure is None:
            done.append(part)
            continue
        row = part.failure.row(order.stage)
        tries = row["attempt"] + tried.get(part.scene_id, 0)
        failures.append({**row, "attempt": tries, "uri": order.uris.get(part.scene_id)})
        if not part.rows and part.scene_id in order.fallback:
            rows.append({**order.fallback[part.scene_id], "error": as_told(part.failure.message)})
    rows.extend(order.extra)

    index: dict[str, list[int]] = {}
    sums: list[int] = []
    name = table_name(order.table, order.shard)
    with _swept_on_errors(storage, folder):
        write = partial(write_table, table=order.table, rows=rows)
        files = [write_file(storage, folder, name, write, len(rows))]
        if order.tar and any(part.files for part in done):
            index, sums = _places(done)
            path = tar_name(order.table, order.shard)
            made = _compose(storage, f"{folder}/{path.rsplit('/', 1)[1]}", done)
            files.append(ShardFile(path, made.bytes, made.sha256, 0))
        check()
    record = Commit(
        order.stage,
        order.shard,
        order.round,
        attempt,
        files,
        [part.scene_id for part in done],
        failures,
        index,
        time.time() - started,
        time.time(),
        socket.gethostname(),
        sums,
        tally_of(order.table, rows),
    )
    if not commit(storage, record):
        return read_commit(storage, order.stage, order.shard, order.round)
    return record


def pack_rows(
    storage: Storage,
    stage: str,
    shard: int,
    round_: int,
    tables: Mapping[str, Sequence[Row]],
    check: Callable[[], None] = _nobody_else,
) -> Commit:
    """Commits a shard that is tables only, from rows at hand (the failures of a shard, and its account). check, and
    what is returned: as for `pack`."""
    record = _committed(storage, stage, shard, round_)
    if record is not None:
        return record
    attempt = new_attempt(round_)
    folder = attempt_folder(stage, shard, attempt)
    files = []
    with _swept_on_errors(storage, folder):
        for table, rows in tables.items():
            write = partial(write_table, table=table, rows=rows)
            files.append(write_file(storage, folder, table_name(table, shard), write, len(rows)))
        check()
    tally = next(filter(None, (tally_of(table, rows) for table, rows in tables.items())), None)
    made = Commit(stage, shard, round_, attempt, files, [], [], {}, 0.0, time.time(), socket.gethostname(), tally=tally)
    return made if commit(storage, made) else read_commit(storage, stage, shard, round_)


def tally_of(table: str, rows: Sequence[Row]) -> dict[str, Any] | None:
    """What the rows of a shard's table come to; None of a table that nobody sums up."""
    tallies: dict[str, Callable[[Any], Any]] = {
        "handles": handles_tally, "scores": scores_tally, "account": account_tally
    }  # fmt: skip
    return {table: tallies[table](rows)} if table in tallies else None


@contextmanager
def _swept_on_errors(storage: Storage, folder: str) -> Iterator[None]:
    """Removes an attempt that has failed before it could be committed."""
    try:
        yield
    except Exception:
        with suppress(Exception):  # the error that comes is the one to tell
            storage.delete_folder(folder)
        raise


def _parts(storage: Storage, order: PackOrder) -> Iterator[Part]:
    """Scenes of the shard in plan order: new parts, and what the earlier round already had. Raises FileNotFoundError
    where one has no part."""
    fresh = set(order.scene_ids)
    new = find_parts(storage, work_folder(order.stage, order.shard, order.round)) if fresh else {}
    done: set[str] = set()
    rows: dict[str, list[Row]] = {}
    members: dict[str, Members] = {}
    reader, earlier = OutputReader(storage), None
    if order.earlier is not None:
        earlier = read_commit(storage, order.stage, order.shard, order.earlier)
        done, rows = set(earlier.done), reader.rows(order.table, order.shard, round_=order.earlier)
        members = by_scene(earlier, done)
    for scene_id in order.order:
        if scene_id in fresh:
            if scene_id not in new:
                folder = work_folder(order.stage, order.shard, order.round)
                raise FileNotFoundError(f"{storage.url_of(folder)} has no part of {scene_id}")
            yield new[scene_id]
        elif scene_id in done:
            assert earlier is not None
            places = members.get(scene_id, {})
            if earlier.crc32 is None and places:  # of an older Unscene: whoever reads these again knows them by then
                files = files_of(reader.files(order.table, earlier, places))
            else:
                files = tuple((name, size, earlier.sums[name]) for name, (_, size) in places.items())
            yield Part(scene_id, rows.get(scene_id, []), None, files, partial(_again, reader, order, earlier, places))


def _again(reader: OutputReader, order: PackOrder, earlier: Commit, places: Members) -> bytes:
    """A scene's members as the earlier round has them: read, as only who reads them knows that they are whole."""
    return members(reader.files(order.table, earlier, places))


def _places(parts: Sequence[Part]) -> tuple[dict[str, list[int]], list[int]]:
    """Places in the tar of parts, and CRC-32s, of their files."""
    index: dict[str, list[int]] = {}
    sums: list[int] = []
    at = 0
    for part in parts:
        for name, size, crc in part.files:
            index[name] = [at + BLOCK, size]
            sums.append(crc)
            at += BLOCK + padded(size)
    return index, sums


def _compose(storage: Storage, name: str, parts: Sequence[Part]) -> Composed:
    """Raises PartDamaged, once the file that is, is gone, so that whoever looks for its scenes finds none of them."""
    try:
        return storage.compose(name, _tar_of(parts), Passing(parts))
    except PartDamaged as error:
        storage.delete(str(error.filename))
        raise


def _tar_of(parts: Sequence[Part]) -> Iterator[Piece]:
    for part in parts:
        yield from part.pieces()
    yield closing(sum(part.size for part in parts))

"""What is committed of an OUTPUT: one listing a stage, and the manifest for what the commits hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.ledger.commits import Commit, latest, read_commit, read_sized
from pipeline.ledger.manifest import FOLDER, Manifest, add, read_manifest, replace, summary, table_of, warn_once
from pipeline.storage.folder import Storage
from pipeline.storage.many import in_order
from stages.telling import tell

LAGS = 4096
"""Commits that a run which was killed may have had no time to roll up; where more have no row, that is said."""
EVERY = 512
"""Commits of a run between two files of the manifest."""
_TOLD = 1000


class Committed:
    """The latest commit of every shard, of some stages, as they are listed when this is made.

    Memory: a few numbers and names a commit, in Arrow columns.
    """

    def __init__(self, storage: Storage, stages: Sequence[str]) -> None:
        self.storage, self.stages = storage, tuple(dict.fromkeys(stages))
        listings = in_order(lambda stage: latest(storage, stage), self.stages)
        self._listed = dict(zip(self.stages, listings, strict=True))
        self._tables: dict[str, pa.Table] = {}
        self._unrolled: list[pa.Table] = []
        self._outdated = False
        self._noted: dict[tuple[str, int, int], dict[str, Any] | None] = {}

    def rounds(self, stage: str) -> dict[int, int]:
        """Shard -> its latest committed round."""
        return {shard: round_ for shard, (round_, _) in self._listed[stage].items()}

    def table(self, stage: str) -> pa.Table:
        """SUMMARY of a stage, a row a shard, in their order. Raises OutputError where a commit that has to be read is
        damaged."""
        if stage not in self._tables:
            self._tables[stage] = self._summed(stage)
        return self._tables[stage]

    def counts(self, stage: str) -> tuple[int, int]:
        """Scenes with results, and without."""
        done, failed = (pc.sum(self.table(stage).column(name)).as_py() or 0 for name in ("done", "failed"))
        return int(done), int(failed)

    def rows(self, stage: str) -> int:
        """Rows of its table: the first file of each commit is the table."""
        return sum(self.first_rows(stage).values())

    def first_rows(self, stage: str) -> dict[int, int]:
        """Shard -> rows of its table."""
        table = self.table(stage)
        counts = (rows[0] if rows else 0 for rows in table.column("rows").to_pylist())
        return dict(zip(table.column("shard").to_pylist(), counts, strict=True))

    def errors(self, stage: str) -> Counter[str]:
        """Class of failure -> scenes."""
        found: Counter[str] = Counter()
        for errors in self._failing(stage).column("errors").to_pylist():
            for entry in errors:
                found[entry["error"]] += entry["count"]
        return found

    def lost(self, stage: str) -> dict[int, int]:
        """Shard -> scenes without results, where there are any."""
        table = self._failing(stage)
        return dict(zip(table.column("shard").to_pylist(), table.column("failed").to_pylist(), strict=True))

    def failures(self, stage: str, most: int) -> list[dict[str, Any]]:
        """The first rows of its failures: as many commits are read as hold them."""
        table = self._failing(stage)
        places = list(zip(table.column("shard").to_pylist(), table.column("round").to_pylist(), strict=True))
        before = np.cumsum([0, *table.column("failed").to_pylist()])
        wanted = [place for place, rows in zip(places, before, strict=False) if rows < most]
        read = in_order(lambda place: read_commit(self.storage, stage, *place).failures, wanted)
        return [row for rows in read for row in rows][:most]

    def files(self, stage: str) -> tuple[list[str], list[int]]:
        """Paths and sizes of all its files, by shard."""
        table = self.table(stage)
        paths, sizes = (table.column(name).combine_chunks().flatten().to_pylist() for name in ("paths", "bytes"))
        return paths, sizes

    def place_of_file(self, stage: str, number: int) -> tuple[str, int, int]:
        """Stage, shard and round of the commit that has file `number` of `files`."""
        table = self.table(stage)
        ends = np.cumsum(pc.list_value_length(table.column("paths")).to_numpy())
        row = int(np.searchsorted(ends, number, side="right"))
        return stage, table.column("shard")[row].as_py(), table.column("round")[row].as_py()

    def tallies(self, stage: str) -> Iterator[tuple[int, str | None]]:
        """(shard, tally as JSON) of each."""
        table = self.table(stage)
        yield from zip(table.column("shard").to_pylist(), table.column("tally").to_pylist(), strict=True)

    def note(self, stage: str, shard: int, round_: int, told: tuple[Commit, int] | None = None) -> None:
        """Takes down a commit that was made since the listings, for the manifest; what is told of here stays as listed.
        For the run that holds the lease. told: see `Ledger.note`."""
        self._noted[stage, shard, round_] = None if told is None else summary(*told)
        if len(self._noted) >= EVERY:
            self.roll_up()

    def saw(self, record: Commit, size: int) -> None:
        """Spares the manifest the reading of a noted commit."""
        place = record.stage, record.shard, record.round
        if place in self._noted:
            self._noted[place] = summary(record, size)

    def roll_up(self) -> None:
        """Brings the manifest up to the listings and what was noted since. For the run that holds the lease: two would
        write it twice over."""
        for stage in self.stages:
            self.table(stage)
        if self._manifest.frail or self._outdated:
            others = self._manifest.table.filter(
                pc.invert(pc.is_in(self._manifest.table.column("stage"), pa.array(self.stages, pa.string())))
            )
            whole = pa.concat_tables([others, *self._tables.values()])
            self._manifest = replace(self.storage, whole, self._manifest)
            self._outdated, self._unrolled = False, []
        unread = [place for place, row in self._noted.items() if row is None]
        read = (summary(*found) for found in in_order(lambda place: read_sized(self.storage, *place), unread))
        rows = [row or next(read) for row in self._noted.values()]
        self._noted.clear()
        if tables := [*self._unrolled, *([table_of(rows)] if rows else [])]:
            self._manifest = add(self.storage, pa.concat_tables(tables), self._manifest)
            self._unrolled = []
        if self._manifest.crowded:
            stages = self._manifest.table.column("stage").unique().to_pylist()
            whole = pa.concat_tables([self._known(stage) for stage in stages])
            self._manifest = replace(self.storage, whole, self._manifest)

    @cached_property
    def _manifest(self) -> Manifest:
        return read_manifest(self.storage)

    def _failing(self, stage: str) -> pa.Table:
        table = self.table(stage)
        return table.filter(pc.greater(table.column("failed"), 0))

    def _summed(self, stage: str) -> pa.Table:
        listed = self._listed[stage]
        shards = np.array(sorted(listed), dtype=np.int64)
        rounds, sizes = (np.array([listed[shard][i] for shard in shards.tolist()], dtype=np.int64) for i in (0, 1))
        known = self._known(stage)
        places = {}
        for name, values in zip(("shard", "round", "size"), (shards, rounds, sizes), strict=True):
            places[name] = values, known.column(name).to_numpy()
        row, there = _rows_of(*places["shard"])
        there &= (places["round"][1][row] == rounds) & (places["size"][1][row] == sizes) if len(known) else False
        found = known.take(pa.array(row[there]))
        deleted = ~np.isin(places["shard"][1], shards)
        later = np.zeros(len(shards), dtype=bool)
        if len(known):  # a round that the manifest has, and no listing
            later = ~there & (places["round"][1][row] > rounds) & (places["shard"][1][row] == shards)
        self._outdated |= bool(deleted.any() or later.any())
        lacking = [(int(shards[i]), int(rounds[i])) for i in np.flatnonzero(~there)]
        if lacking:
            read = self._read(stage, lacking)
            self._unrolled.append(read)
            found = pa.concat_tables([found, read]).sort_by("shard")
        return found.combine_chunks()

    def _known(self, stage: str) -> pa.Table:
        """Rows of the manifest, the last of each shard, in the order of shards."""
        table = self._manifest.table
        table = table.filter(pc.equal(table.column("stage"), stage))
        shards = table.column("shard").to_numpy()
        order = np.argsort(shards, kind="stable")
        last = np.ones(len(order), dtype=bool)
        last[:-1] = shards[order][1:] != shards[order][:-1]
        return table.take(pa.array(order[last]))

    def _read(self, stage: str, places: list[tuple[int, int]]) -> pa.Table:
        if len(places) > LAGS:
            warn_once(
                f"{self.storage.url_of(f'{FOLDER}/manifest-*')} has no rows of {len(places):,} commits of {stage}, "
                "which are read one by one; the next run adds them"
            )
        tables, rows = [], []
        for number, (record, size) in enumerate(in_order(lambda at: read_sized(self.storage, stage, *at), places)):
            rows.append(summary(record, size))
            if number % _TOLD == _TOLD - 1:
                tell(f"reading commits of {stage}, {number + 1:,} of {len(places):,}")
                tables.append(table_of(rows))
                rows = []
        return pa.concat_tables([*tables, table_of(rows)])


def _rows_of(shards: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each of `shards` its row in `known`, which is sorted, and whether it has one."""
    if not len(known):
        return np.zeros(len(shards), dtype=np.int64), np.zeros(len(shards), dtype=bool)
    row = np.minimum(np.searchsorted(known, shards), len(known) - 1)
    return row, known[row] == shards

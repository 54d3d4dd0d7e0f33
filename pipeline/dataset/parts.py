"""A data set is written in parts: so many whole scenes of one split, in the plan's order, up to a size.

A part is known by its place (`train-000003`) and by a stamp over what it is to hold. Its record is written last: a part
whose record has the stamp, and whose files are there, with the facts that the index is made of, is whole, and is not
written again.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from pipeline.dataset.picking import Pick
from pipeline.ledger.commits import Commit
from pipeline.storage.folder import Storage

OWN = ".unscene"
"""The folder of a data set for what readers of it need not see; names with a dot are passed over by most of them."""
DAMAGED = "damaged: its files cannot be read"
"""Why a picture is left out until its files are restored."""
PART_BYTES = 2**29
PART_PICTURES = 4096
"""A part is full from either on. Many readers shuffle parts, and a store lists a folder of so many files quickly."""


@dataclass(frozen=True)
class Part:
    """number: from 0, within its split."""

    split: str
    number: int
    picks: list[Pick]
    stamp: str

    @property
    def name(self) -> str:
        return f"{self.split}-{self.number:06d}"


@dataclass
class Record:
    """What a part holds. stamp: None while it is being written: then `files` are those that may be there. files: name
    -> size in bytes. objects: name of a class -> how many; left_out: reason -> pictures; told: what was said of damaged
    ones; of_scenes: scenes in it; means: name of a measure of its format -> (sum over objects, how many). facts: hash
    of what is told of its pictures; None as an older Unscene wrote it."""

    stamp: str | None
    files: dict[str, int]
    pictures: int = 0
    real: int = 0
    of_scenes: int = 0
    objects: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    means: dict[str, tuple[float, int]] = field(default_factory=dict)
    facts: str | None = None


class Cutter:
    """Cuts scenes into parts, as they come. settings: what else decides the bytes of a part; most: bytes of one."""

    def __init__(self, settings: str, most: int = PART_BYTES) -> None:
        self._settings, self._most = settings, most
        self._open: dict[str, tuple[list[Pick], int, Any]] = {}
        self.counts: Counter[str] = Counter()

    def add(self, split: str, picks: list[Pick], commits: dict[str, Commit | None]) -> Iterator[Part]:
        """The pictures of a scene; yields the part that is full with them. commits: of scenes, variations, scores."""
        listed, size, digest = self._open.pop(split, ([], 0, hashlib.sha256(self._settings.encode())))
        for pick in picks:
            size += _bytes_of(pick, commits)
            digest.update(_content(pick, commits).encode())
        self._open[split] = ([*listed, *picks], size, digest)
        if size >= self._most or len(listed) + len(picks) >= PART_PICTURES:
            yield self._cut(split)

    def rest(self) -> Iterator[Part]:
        """What is left when no scene is to come."""
        for split in sorted(self._open):
            yield self._cut(split)

    def _cut(self, split: str) -> Part:
        listed, _, digest = self._open.pop(split)
        number = self.counts[split]
        self.counts[split] += 1
        return Part(split, number, listed, digest.hexdigest())


def _members(pick: Pick) -> Iterator[tuple[str, str]]:
    yield ("scenes" if pick.real else "variations"), pick.file
    if pick.mask is not None:
        yield "scores", pick.mask


def _bytes_of(pick: Pick, commits: dict[str, Commit | None]) -> int:
    found = ((commits[table], name) for table, name in _members(pick))
    return sum(commit.members[name][1] for commit, name in found if commit is not None and name in commit.members)


def _content(pick: Pick, commits: dict[str, Commit | None]) -> str:
    """The picture in a line that differs where its files do, by the checksums of the commits. (Without them, as an
    older Unscene left them, by the attempt that wrote the shard.)"""
    told: list[Any] = [pick.key, pick.asked, sorted(pick.found.items()), sorted(pick.classes.items())]
    for table, name in _members(pick):
        commit = commits[table]
        told += [name, None if commit is None else commit.sums.get(name, commit.attempt)]
        if commit is not None and not pick.real:  # prompts and scores stand in the tables
            told.append(commit.files[0].sha256)
    if pick.instances is not None:
        told.append(pick.instances)
    elif max(pick.found.values()) > 1:
        told.append("apart by region")  # an older Unscene cut them otherwise
    if pick.standing:  # an older Unscene labelled them by what the score mask has of them
        told.append(["own masks", *sorted(pick.standing)])
    if pick.real or pick.standing:  # these masks stand in the table
        concepts = commits["concepts"]
        told.append(None if concepts is None else concepts.files[0].sha256)
    return json.dumps(told)


class Records:
    """The records of a data set's parts, in the folder that it is written to."""

    def __init__(self, into: Storage) -> None:
        self.into = into
        self._listed: dict[str, dict[str, int]] = {}

    def read(self, name: str) -> Record | None:
        """None where there is none, or a damaged one."""
        try:
            return Record(**json.loads(self.into.read(_record(name))))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def whole(self, part: Part) -> Record | None:
        """The record of a part that was written by an earlier attempt and is all there; None where it is not, and where
        it lacks what was damaged, which may be restored by now."""
        record = self.read(part.name)
        if record is None or record.stamp != part.stamp or record.left_out.get(DAMAGED):
            return None
        there = all(self._size(name) == size for name, size in record.files.items())
        return record if there and self._told(part.name, record) else None

    def begin(self, part: Part, planned: Iterable[str]) -> None:
        """Takes down the files that will be written, so that an attempt that ends among them leaves none unknown."""
        earlier = self.read(part.name)
        files = {**(earlier.files if earlier else {}), **dict.fromkeys(planned, 0)}
        self._write(part.name, Record(None, files))

    def end(self, part: Part, record: Record, facts: bytes) -> None:
        """Removes what an earlier attempt wrote and this one did not, then writes the record."""
        begun = self.read(part.name)
        for name in begun.files if begun else ():
            if name not in record.files:
                self.into.delete(name)
        self.into.write(_facts(part.name), facts)
        record.facts = hashlib.sha256(facts).hexdigest()
        self._write(part.name, record)

    def drop_from(self, split: str, number: int) -> int:
        """Removes parts from `number` on, which a data set that has become smaller has no more; returns how many."""
        names = [name for name in self.into.names(f"{OWN}/parts") if name.endswith(".json")]
        gone = [name[: -len(".json")] for name in names if name.startswith(f"{split}-")]
        gone = [name for name in gone if int(name.rpartition("-")[2]) >= number]
        for name in gone:
            record = self.read(name)
            for file in record.files if record else ():
                self.into.delete(file)
            self.into.delete(_facts(name))
            self.into.delete(_record(name))
        return len(gone)

    def facts(self, name: str) -> Iterator[dict[str, Any]]:
        """What is told of each picture of a part, in their order."""
        for line in self.into.read(_facts(name)).splitlines():
            yield json.loads(line)

    def _told(self, name: str, record: Record) -> bool:
        """Whether all that was told of its pictures is there: an index made of less would lack pictures in silence."""
        try:
            if record.facts is None:
                return sum(1 for _ in self.facts(name)) == record.pictures
            return hashlib.sha256(self.into.read(_facts(name))).hexdigest() == record.facts
        except (FileNotFoundError, ValueError):
            return False

    def _write(self, name: str, record: Record) -> None:
        self.into.write(_record(name), json.dumps(asdict(record)).encode())

    def _size(self, name: str) -> int | None:
        folder, _, file = name.rpartition("/")
        if folder not in self._listed:
            if len(self._listed) > 8:  # folders of a part each: never looked at again
                self._listed.clear()
            self._listed[folder] = self.into.names(folder)
        return self._listed[folder].get(file)


def _record(name: str) -> str:
    return f"{OWN}/parts/{name}.json"


def _facts(name: str) -> str:
    return f"{OWN}/parts/{name}.jsonl"

"""A plan that is not finished is gone on with: what was hashed is not hashed again, unless a listing shows a change."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.ledger import hashed
from pipeline.ledger.plan import Plan, extend_plan, read_plan
from pipeline.storage.folder import Storage
from stages.ingest.census import Picked, Read
from stages.ingest.source.hashing import Hashed

PICTURES = [Picked(f"/in/{number:03d}.jpg", stamp=f"{number}:1", bytes=number) for number in range(20)]


class Killed(Exception):
    pass


class Reader:
    """Notes what is read, and ends the process in its own way at one picture."""

    def __init__(self, ends_at: str | None = None, error: str | None = None) -> None:
        self.ends_at, self.error, self.read = ends_at, error, list[str]()

    def __call__(self, picked: Picked) -> Read:
        if self.ends_at is not None and picked.uri >= self.ends_at:
            raise Killed
        self.read.append(picked.uri)
        sha = hashlib.sha256(f"{picked.uri[:-5]}{picked.stamp}".encode()).hexdigest()
        return Read(picked, Hashed(picked.uri, 1, None if self.error else sha, self.error), None, None)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashed, "ROWS", 4)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "out"))


def rows(plan: Plan) -> list[dict[str, object]]:
    return list(plan.all_rows())


def calm(tmp_path: Path, pictures: list[Picked] = PICTURES) -> list[dict[str, object]]:
    return rows(extend_plan(Storage(str(tmp_path / "calm")), pictures, 3, Reader()))


def ended(storage: Storage, at: str, **how: str) -> None:
    with pytest.raises(Killed):
        extend_plan(storage, PICTURES, 3, Reader(at, **how))


def test_what_was_read_is_not_read_again_and_the_plan_is_the_same(storage: Storage, tmp_path: Path) -> None:
    ended(storage, "/in/006.jpg")
    ended(storage, "/in/014.jpg")
    assert storage.names(hashed.FOLDER)
    last = Reader()
    plan = extend_plan(storage, PICTURES, 3, last)
    assert sorted(last.read) == [picked.uri for picked in PICTURES[12:]], "all but what had not filled a part"
    assert rows(plan) == calm(tmp_path) == rows(read_plan(storage))
    assert not storage.names(hashed.FOLDER)


def test_a_file_that_changed_or_came_meanwhile_is_read(storage: Storage, tmp_path: Path) -> None:
    ended(storage, "/in/014.jpg")
    changed = [replace(picked, stamp="other") if picked.uri == "/in/002.jpg" else picked for picked in PICTURES]
    changed += [Picked("/in/0001.jpg", stamp="1"), Picked("/in/000.jpeg")]
    del changed[5]
    last = Reader()
    plan = extend_plan(storage, changed, 3, last)
    assert sorted(last.read) == [
        *("/in/000.jpeg", "/in/0001.jpg", "/in/002.jpg"),
        *(picked.uri for picked in PICTURES[12:]),
    ]
    assert rows(plan) == calm(tmp_path, changed)


def test_an_error_is_no_finding(storage: Storage) -> None:
    ended(storage, "/in/014.jpg", error="ConnectionError: it was away")
    last = Reader()
    extend_plan(storage, PICTURES, 3, last)
    assert len(last.read) == 20


@pytest.mark.parametrize(
    ("before", "now", "kept"),
    [
        (Picked("a", "1", masks=("m",), masks_stamp="2"), Picked("a", "1", masks=("m",), masks_stamp="2"), True),
        (Picked("a", "1", masks=("m",), masks_stamp="2"), Picked("a", "1", masks=("m",), masks_stamp="3"), False),
        (Picked("a", "1", masks=("m",)), Picked("a", "1", masks=("m",)), False),
        (Picked("a", "1"), Picked("a", "1", masks=("m",), masks_stamp="2"), False),
        (Picked("a"), Picked("a"), False),
        (Picked("a", "1", masks=("7",), masks_sha256="x", entry="1"),
         Picked("a", "1", masks=("7",), masks_sha256="x", entry="1"), True),
        (Picked("a", "1", masks=("7",), masks_sha256="x", entry="1"),
         Picked("a", "1", masks=("7",), masks_sha256="y", entry="1"), False),
        (Picked("a", "1"), Picked("a", "1", masks_fault="any of 2 pictures"), False),
    ],
)  # fmt: skip
def test_only_what_a_listing_shows_unchanged_is_taken(
    storage: Storage, before: Picked, now: Picked, kept: bool
) -> None:
    others = [Picked(f"b{number}", "1") for number in range(8)]

    def read(picked: Picked) -> Read:
        return Read(picked, Hashed(picked.uri, 1, "f" * 63 + picked.uri[-1], None), picked.masks_sha256, None)

    def dies(picked: Picked) -> Read:
        if picked.uri == "b7":
            raise Killed
        return read(picked)

    with pytest.raises(Killed):
        extend_plan(storage, [before, *others], 3, dies)
    looked: list[str] = []
    extend_plan(storage, [now, *others], 3, lambda picked: looked.append(picked.uri) or read(picked))
    assert ("a" not in looked) == kept


def test_a_damaged_part_is_told_of_and_its_files_are_read_again(
    storage: Storage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ended(storage, "/in/014.jpg")
    storage.write(f"{hashed.FOLDER}/000-000001.parquet", b"PAR1 half")
    last = Reader()
    with caplog.at_level(logging.WARNING):
        plan = extend_plan(storage, PICTURES, 3, last)
    assert sorted(last.read) == [picked.uri for picked in (*PICTURES[4:8], *PICTURES[12:])]
    assert "000-000001.parquet is damaged: the files that it tells of are read again" in caplog.text
    assert rows(plan) == calm(tmp_path)


def test_parts_that_outlived_the_plan_go_with_the_next_run(storage: Storage) -> None:
    extend_plan(storage, PICTURES, 3, Reader())
    storage.write(f"{hashed.FOLDER}/000-000000.parquet", b"")
    extend_plan(storage, PICTURES, 3, Reader())
    assert not storage.names(hashed.FOLDER)

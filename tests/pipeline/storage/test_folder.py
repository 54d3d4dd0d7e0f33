"""The three writes the ledger needs, on a local disk and on an object store's interface."""

from __future__ import annotations

import errno
import os
import pickle
import re
import threading
from pathlib import Path

import fsspec
import pytest

from pipeline.storage.folder import Storage
from pipeline.storage.probe import check_writable
from schemas.errors import OutputError, StoreFull
from stages.retrying import full_told


@pytest.fixture(params=["local", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "local":
        return Storage(str(tmp_path / "out"))
    store = Storage(f"memory://{tmp_path.name}")
    store.delete_folder("")
    return store


def test_create_makes_a_file_once_and_keeps_the_first(storage: Storage) -> None:
    assert storage.create("_commits/a.json", b"first")
    assert not storage.create("_commits/a.json", b"second")
    assert storage.read("_commits/a.json") == b"first"
    assert set(storage.names("_commits")) == {"a.json"}  # no temporary is left behind


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("needs-more://bucket/x", r"not installed \(.*\); for S3: pip install s3fs, for GCS: pip install gcsfs"),
        ("gopher://bucket/x", r"no address that fsspec knows"),
    ],
)
def test_an_address_that_cannot_be_opened_is_one_sentence(url: str, message: str) -> None:
    fsspec.register_implementation(
        "needs-more", "no_such_package.FileSystem", errtxt="Install no_such_package", clobber=True
    )
    with pytest.raises(OutputError, match=message):
        Storage(url)


def test_of_many_creators_exactly_one_wins(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path / "out"))
    wins: list[int] = []
    gate = threading.Barrier(16)

    def race(number: int) -> None:
        gate.wait()
        if storage.create("x", str(number).encode()):
            wins.append(number)

    racers = [threading.Thread(target=race, args=(number,)) for number in range(16)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert len(wins) == 1
    assert storage.read("x") == str(wins[0]).encode()


def test_publish_replaces_at_once_and_write_is_whole(storage: Storage) -> None:
    storage.write("folder/target", b"old")
    storage.write("attempt/source", b"new content")
    storage.publish("attempt/source", "folder/target")
    assert storage.read("folder/target") == b"new content"
    assert storage.read_range("folder/target", 4, 7) == b"content"
    storage.publish("attempt/source", "folder/target")  # as after a crash in between
    assert set(storage.names("folder")) == {"target"}
    storage.delete_folder("attempt")
    assert storage.names("attempt") == {}
    assert storage.read("folder/target") == b"new content"


def test_what_is_streamed_out_is_streamed_in(storage: Storage) -> None:
    with storage.open_write("attempt/file") as file:
        file.write(b"one ")
        file.write(b"two")
    with storage.open_read("attempt/file") as file:
        assert (file.read(3), file.read()) == (b"one", b" two")


def test_a_storage_travels_to_a_worker(storage: Storage) -> None:
    storage.create("x", b"here")
    there = pickle.loads(pickle.dumps(storage))
    assert there.read("x") == b"here"
    assert not there.create("x", b"there")


def test_names_and_folders_list_one_level(storage: Storage) -> None:
    storage.write("a/b/c", b"12")
    storage.write("a/d", b"123")
    assert storage.names("a") == {"d": 3}
    assert storage.folders("a") == ["b"]
    assert storage.names("nowhere") == {}
    assert storage.folders("nowhere") == []


def test_what_is_being_written_beside_its_name_is_not_listed(storage: Storage) -> None:
    """A killed writer leaves it; whoever reads a folder must not take it for a file of it."""
    left = f"a.parquet.{'0' * 32}.tmp"
    storage.fs.makedirs(storage.path("folder"), exist_ok=True)
    storage.fs.pipe_file(storage.path(f"folder/{left}"), b"half")
    storage.write("folder/notes.tmp", b"a name like any other")
    assert set(storage.names("folder")) == {"notes.tmp"}
    assert storage.every_name("folder") == [left, "notes.tmp"]


def test_a_disk_that_is_full_keeps_nothing_of_what_did_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Storage(str(tmp_path / "out"))
    storage.write("a", b"1")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    said = re.escape(f"{tmp_path}/out: no room is left there (No space left on device); what is written is safe: make")
    for write in (storage.write, storage.create):
        with pytest.raises(StoreFull, match=said):
            write("b", b"2" * 1000)
    assert os.listdir(tmp_path / "out") == ["a"]
    with pytest.raises(StoreFull, match=said), storage.open_write("c") as file:
        file.write(b"3")
    with pytest.raises(StoreFull, match=said):
        storage.publish("a", "d")
    with pytest.raises(StoreFull, match=f"^output: {said}"):
        check_writable(storage)


def test_only_a_disk_without_room_is_told_as_such() -> None:
    for number in (errno.ENOSPC, errno.EDQUOT):
        with pytest.raises(StoreFull, match="^/out: no room is left there"), full_told("/out"):
            raise OSError(number, os.strerror(number))
    with pytest.raises(PermissionError), full_told("/out"):
        raise PermissionError(errno.EACCES, "no")


def test_what_the_ledger_builds_on_is_on_disk_before_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder of a commit, of the files that it names, and of the names that they are published under; of folders
    that were made for them too."""
    storage = Storage(str(tmp_path))
    synced: list[str] = []

    def sync(handle: int) -> None:
        synced.append(os.path.relpath(os.readlink(f"/proc/self/fd/{handle}"), tmp_path))

    monkeypatch.setattr(os, "fsync", sync)
    with storage.open_write("attempts/1/file") as file:
        file.write(b"1")
    assert synced == ["attempts", ".", "attempts/1/file", "attempts/1"]
    synced.clear()
    storage.create("commits/a", b"2")
    assert synced[0] == "."
    assert synced[-1] == "commits"
    synced.clear()
    storage.publish("attempts/1/file", "table/file")
    assert synced == [".", "table"]

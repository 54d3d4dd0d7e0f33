"""The three writes the ledger needs, on a local disk and on an object store's interface."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import fsspec
import pytest

from pipeline.storage.folder import Storage
from schemas.errors import SpecError


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
        ("needs-more://bucket/x", r"not installed \(.*\); for S3 and GCS: pip install -e '.\[s3\]'"),
        ("gopher://bucket/x", r"no address that fsspec knows"),
    ],
)
def test_an_address_that_cannot_be_opened_is_one_sentence(url: str, message: str) -> None:
    fsspec.register_implementation(
        "needs-more", "no_such_package.FileSystem", errtxt="Install no_such_package", clobber=True
    )
    with pytest.raises(SpecError, match=message):
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
    storage.delete_folder("attempt")
    assert storage.names("attempt") == {}
    assert storage.read("folder/target") == b"new content"


def test_names_and_folders_list_one_level(storage: Storage) -> None:
    storage.write("a/b/c", b"12")
    storage.write("a/d", b"123")
    assert storage.names("a") == {"d": 3}
    assert storage.folders("a") == ["b"]
    assert storage.names("nowhere") == {}
    assert storage.folders("nowhere") == []


def test_no_permission_is_one_sentence(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path / "out"))
    tmp_path.chmod(0o500)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # root may write anywhere; nobody may not
    try:
        with pytest.raises(SpecError, match=r"output: cannot write under .*PermissionError"):
            storage.check_writable()
    finally:
        os.seteuid(user)
        tmp_path.chmod(0o700)


def test_output_below_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpecError, match="output: cannot write under"):
        Storage(str(tmp_path / "file" / "out")).check_writable()

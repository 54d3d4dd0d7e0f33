"""A source behind a bad network: what is planned and read of it is what lies there, or it is nobody's fault but its
store's."""

from __future__ import annotations

import hashlib
import io
import uuid
from collections.abc import Iterator

import fsspec
import pytest

import stages.retrying as retrying
from pipeline.storage.many import in_order
from schemas.errors import StoreAway
from schemas.job import Source
from stages.ingest.faults import FileUnreadable
from stages.ingest.source.files import read_file, root_of
from stages.ingest.source.hashing import hash_file
from stages.ingest.source.listing import list_source
from stages.telling import listened
from tests.support.fault_proxy import FaultProxy
from tests.support.s3_servers import BUCKET, asked_through, s3_server

LIMIT = 1 << 24


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_server("moto", tmp_path_factory.mktemp("store")) as url:
        yield url


@pytest.fixture
def proxy(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """Whoever asks again does so at once, as in tests/pipeline/storage/test_s3.py."""
    monkeypatch.setattr(retrying, "LONGEST_PAUSE_S", 0.02)
    with FaultProxy(server) as between, asked_through(between):
        yield between


@pytest.fixture
def source(proxy: FaultProxy) -> Source:
    """Six pictures (of no pixels) in three folders."""
    uri = f"s3://{BUCKET}/{uuid.uuid4().hex}"
    fs = fsspec.filesystem("s3")
    for number in range(6):
        fs.pipe_file(f"{uri}/{number % 3}/{number}.jpg", content(number))
    fs.invalidate_cache()
    return Source(uri=uri)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"AWAY_S": 1.5, "FIRST_S": 1.5, "FILE_S": 0.3}.items():
        monkeypatch.setattr(retrying, name, seconds)


def content(number: int) -> bytes:
    return bytes([number]) * 5000


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("kind", ["500", "reset", "cut", "lost", "short"])
def test_a_blip_is_never_a_files_fault(source: Source, proxy: FaultProxy, kind: str) -> None:
    """`short`: half a file that says that it is whole would have a hash of its own, and be another scene."""
    url = f"{source.uri}/1/4.jpg"
    proxy.then(kind, method="GET", path="4.jpg")
    found = hash_file(url, source, LIMIT)
    assert (found.sha256, found.bytes, found.error) == (sha256(content(4)), 5000, None)
    proxy.then(kind, method="GET", path="4.jpg")
    assert read_file(url, source, LIMIT) == content(4)
    assert proxy.done == {kind: 2}


def test_a_whole_source_is_read_right_through_one_fault_in_two(source: Source, proxy: FaultProxy) -> None:
    proxy.rate, proxy.stall_s = 0.5, 0.1
    listed = list_source(source)
    urls = [listed.root.url_of(file.path) for file in listed.pictures]
    hashed = list(in_order(lambda url: hash_file(url, source, LIMIT), urls))
    assert [found.sha256 for found in hashed] == [sha256(content(n)) for n in (0, 3, 1, 4, 2, 5)]
    assert sum(proxy.done.values()) > 2


@pytest.mark.parametrize("fault", ["500", "reset"])
def test_a_listing_lacks_nothing_where_a_folder_could_not_be_listed(
    source: Source, proxy: FaultProxy, fault: str
) -> None:
    """fsspec's glob leaves such a folder out without a word."""
    pattern = source.model_copy(update={"uri": f"{source.uri}/*/*.jpg"})
    assert len(list_source(pattern).pictures) == 6
    proxy.then(fault, method="GET", path="%2F1%2F")
    assert len(list_source(pattern).pictures) == 6
    assert proxy.done == {fault: 1}


def test_a_folder_is_one_though_nobody_answered_the_question(source: Source, proxy: FaultProxy) -> None:
    assert list_source(source).pictures
    wanted = root_of(source)
    proxy.then("503", "503", "503")
    assert root_of(source) == wanted
    proxy.then("503", "503", "503")
    assert len(list_source(source).pictures) == 6


def test_one_file_that_its_store_cannot_give_is_that_files_fault(
    source: Source, proxy: FaultProxy, quick: None
) -> None:
    url = f"{source.uri}/1/4.jpg"
    proxy.then(*["500"] * 1000, method="GET", path="4.jpg?")
    proxy.then(*["500"] * 1000, method="GET", path="1/4.jpg")
    found = hash_file(url, source, LIMIT)
    assert found.sha256 is None
    assert "500" in str(found.error) or "made by the fault proxy" in str(found.error)
    with pytest.raises(FileUnreadable) as caught:
        read_file(url, source, LIMIT)
    assert caught.value.transient, "another worker may get it yet"


def test_a_store_that_is_away_is_no_line_of_a_plan(source: Source, proxy: FaultProxy, quick: None) -> None:
    urls = [f"{source.uri}/{n % 3}/{n}.jpg" for n in range(6)]
    proxy.away = True
    said: list[str] = []
    with listened(said.append), pytest.raises(StoreAway, match=rf"^source.uri: {source.uri} does not answer"):
        list(in_order(lambda url: hash_file(url, source, LIMIT), urls))
    with pytest.raises(StoreAway, match=rf"^source.uri: {source.uri} does not answer"):
        list_source(source)
    with pytest.raises(StoreAway):
        read_file(urls[0], source, LIMIT)


def test_a_file_that_was_replaced_since_it_was_listed_is_read_as_it_is(source: Source) -> None:
    """Its size in the listing is not the size that it has."""
    listed = list_source(source)
    url = f"{source.uri}/1/4.jpg"
    with fsspec.filesystem("s3", skip_instance_cache=True).open(url, "wb") as file:
        file.write(b"short")
    assert listed.root.fs.size(url) == 5000, "as it was listed"
    found = hash_file(url, source, LIMIT)
    assert (found.sha256, found.bytes) == (sha256(b"short"), 5)


def test_who_waits_in_a_thread_is_heard_where_the_caller_is(
    source: Source, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrying, "SAY_S", 0.0)
    proxy.then("500", method="HEAD")
    said: list[str] = []
    with listened(said.append):
        list(in_order(lambda url: hash_file(url, source, LIMIT), [f"{source.uri}/0/0.jpg"]))
    assert said
    assert said[0].startswith(f"source.uri: {source.uri} does not answer")


def test_half_a_file_that_says_that_it_is_whole_is_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """As behind a gateway that cuts answers and mends their headers: its hash would be another scene's."""
    fsspec.filesystem("memory").pipe_file("/half/a.jpg", content(1))
    source, url = Source(uri="memory://half/a.jpg"), "memory://half/a.jpg"
    for read, whole in ((read_file, content(1)), (hash_file, sha256(content(1)))):
        sent = [io.BytesIO(content(1)[:2000]), io.BytesIO(content(1))]
        monkeypatch.setattr(
            "fsspec.implementations.memory.MemoryFileSystem.open", lambda *_, sent=sent, **__: sent.pop(0)
        )
        found = read(url, source, LIMIT)
        assert getattr(found, "sha256", found) == whole
        assert not sent


def test_memory_that_ran_out_is_no_files_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise MemoryError

    fsspec.filesystem("memory").pipe_file("/full/a.jpg", b"1")
    monkeypatch.setattr("fsspec.implementations.memory.MemoryFileSystem.open", full)
    source = Source(uri="memory://full/a.jpg")
    for read in (read_file, hash_file):
        with pytest.raises(MemoryError):
            read("memory://full/a.jpg", source, LIMIT)

"""The promises of storage on real S3 servers of two makes, with a proxy in between that loses and breaks answers."""

from __future__ import annotations

import asyncio
import io
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import stages.retrying as retrying
from pipeline.shards.pack import PackOrder, pack, pack_rows
from pipeline.shards.parts import part_name, write_part
from pipeline.shards.reader import NotAsCommitted, OutputReader
from pipeline.storage.folder import Storage
from pipeline.storage.parquet import read_parquet
from pipeline.storage.pieces import Piece, Span
from pipeline.storage.probe import check_writable
from schemas.errors import OutputError, StoreAway
from schemas.outcomes import SceneOutput
from tests.support.fault_proxy import KINDS, FaultProxy
from tests.support.s3_servers import BUCKET, MAKES, asked_through, s3_server


@pytest.fixture(scope="module", params=MAKES)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_server(request.param, tmp_path_factory.mktemp("store")) as url:
        yield url


@pytest.fixture
def proxy(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """Whoever asks again does so at once, s3fs within one call too: how long the pauses of ours are is
    tests/stages/test_retrying.py's."""
    monkeypatch.setattr(retrying, "LONGEST_PAUSE_S", 0.02)
    hurried = SimpleNamespace(**vars(asyncio) | {"sleep": lambda seconds: asyncio.sleep(min(seconds, 0.02))})
    monkeypatch.setattr("s3fs.core.asyncio", hurried)
    with FaultProxy(server, stall_s=0.1) as between, asked_through(between):
        yield between


@pytest.fixture
def storage(proxy: FaultProxy) -> Storage:
    return Storage(f"s3://{BUCKET}/{uuid.uuid4().hex}")


def test_a_create_that_lost_says_so_and_the_first_stays(storage: Storage, proxy: FaultProxy) -> None:
    """SeaweedFS says 412 without a word of the condition: with s3fs alone that is an OSError, for ever."""
    assert storage.create("_commits/a.json", b"first")
    assert not storage.create("_commits/a.json", b"second")
    assert storage.read("_commits/a.json") == b"first"
    assert proxy.requests["PUT"] == 2


@pytest.mark.parametrize("size", [10, 6 * 2**20])
def test_a_create_whose_answer_is_lost_was_ours(storage: Storage, proxy: FaultProxy, size: int) -> None:
    ours = b"o" * size
    proxy.then("lost", method="PUT")
    assert storage.create("a", ours)
    proxy.then("lost", method="PUT")
    assert not storage.create("a", b"theirs")
    assert storage.read("a") == ours
    assert proxy.done == {"lost": 2}


def test_a_conflict_is_tried_again(storage: Storage, proxy: FaultProxy) -> None:
    proxy.then("409", "409", method="PUT")
    assert storage.create("a", b"1")
    assert proxy.done == {"409": 2}


def test_the_probe_passes_and_leaves_nothing(storage: Storage, proxy: FaultProxy) -> None:
    proxy.then("lost", "503", method="PUT")
    check_writable(storage)
    assert storage.names("") == {}


def test_a_store_that_ignores_the_condition_is_refused_and_nothing_is_left(storage: Storage, proxy: FaultProxy) -> None:
    proxy.careless = True
    with pytest.raises(OutputError, match="ignores create-if-absent"):
        check_writable(storage)
    assert storage.names("") == {}


@pytest.mark.parametrize("kind", KINDS)
def test_each_fault_is_survived_by_each_thing_that_storage_does(storage: Storage, proxy: FaultProxy, kind: str) -> None:
    storage.write("a/one", b"0123456789")

    def thing(method: str, does: Callable[[], object], is_: object) -> None:
        proxy.then(kind, method=method)
        assert does() == is_

    thing("PUT", lambda: storage.write("a/two", b"two"), None)
    thing("GET", lambda: storage.read("a/two"), b"two")
    thing("GET", lambda: storage.read_range("a/one", 2, 5), b"23456")
    thing("GET", lambda: storage.names("a"), {"one": 10, "two": 3})
    thing("GET", lambda: storage.folders(""), ["a"])
    thing("HEAD", lambda: storage.exists("a/one"), True)
    thing("HEAD", lambda: storage.exists("a/three"), False)
    thing("PUT", lambda: storage.publish("a/one", "a/three"), None)
    thing("GET", lambda: storage.read("a/three"), b"0123456789")
    thing("DELETE", lambda: storage.delete("a/three"), None)
    thing("POST", lambda: storage.delete_folder("a"), None)
    assert storage.names("a") == {}
    assert proxy.done == {kind: 11}


def test_a_body_that_ends_early_and_says_that_it_is_whole_is_asked_for_again(
    storage: Storage, proxy: FaultProxy
) -> None:
    storage.write("a", bytes(range(200)))
    proxy.then("short", method="GET")
    assert storage.read_range("a", 10, 100) == bytes(range(10, 110))
    assert storage.read_range("a", 150, 100) == bytes(range(150, 200)), "the file is no longer"
    assert proxy.done == {"short": 1}


def test_past_the_end_of_a_file_is_nothing_as_on_a_disk(storage: Storage, tmp_path: Path) -> None:
    """S3 answers 416 there, and to a range of no bytes."""
    for at in (storage, Storage(str(tmp_path))):
        at.write("a", b"0123456789")
        at.write("none", b"")
        assert at.names("") == {"a": 10, "none": 0}
        asked = [("a", 10, 5), ("a", 12, 5), ("a", 8, 5), ("a", 4, 0), ("a", 0, 0), ("a", 12, 0), ("none", 0, 5)]
        assert [at.read_range(*place) for place in asked] == [b"", b"", b"89", b"", b"", b"", b""]
        for place in (("gone", 4, 5), ("gone", 4, 0)):
            with pytest.raises(FileNotFoundError):
                at.read_range(*place)
        at.names("")  # what is listed may be cut off afterwards
        at.write("a", b"01")
        assert at.read_range("a", 4, 5) == b""


def test_a_tar_that_was_cut_off_is_named_with_its_remedy(storage: Storage) -> None:
    write_part(storage, part_name("extract", 0, 0, "aa"), SceneOutput("aa", files={"aa.json": b"{}" * 500}))
    write_part(storage, part_name("extract", 0, 0, "bb"), SceneOutput("bb", files={"bb.json": b"{}", "bb.txt": b""}))
    made = pack(storage, PackOrder("extract", "handles", True, 0, 0, ("aa", "bb"), ("aa", "bb")))
    assert OutputReader(storage).member("handles", made, "bb.txt") == b""
    storage.write("handles/handles-000000.tar", storage.read("handles/handles-000000.tar")[:512])
    told = r"handles/handles-000000\.tar is not what was committed as round 0: .* it is damaged; .*restore it"
    for name in ("aa.json", "bb.json"):
        with pytest.raises(NotAsCommitted, match=told):
            OutputReader(storage).member("handles", made, name)


def test_tables_and_streams_come_whole_through_a_bad_night(storage: Storage, proxy: FaultProxy) -> None:
    table = pa.table({"number": list(range(50_000)), "text": [f"row {n}" for n in range(50_000)]})
    whole = io.BytesIO()
    pq.write_table(table, whole, row_group_size=5_000)
    proxy.rate = 0.3

    def stream() -> None:
        with storage.open_write("t/a.parquet") as file:
            file.write(whole.getvalue())

    storage.again(stream)
    for number in range(20):
        assert storage.create(f"c/{number}", f"{number}".encode())
        assert not storage.create(f"c/{number}", b"another")
    with storage.open_read("t/a.parquet") as file:
        assert read_parquet(file).equals(table)
    with storage.open_read("t/a.parquet") as file:
        assert file.read() == whole.getvalue()
    assert storage.names("c") == {f"{number}": len(f"{number}") for number in range(20)}
    assert sum(proxy.done.values()) > 10


def test_a_large_file_that_breaks_off_is_sent_anew_and_leaves_no_parts(storage: Storage, proxy: FaultProxy) -> None:
    data = b"part" * (15 * 2**20)
    proxy.then("500", method="PUT", path="partNumber=2")

    def stream() -> None:
        with storage.open_write("large") as file:
            for at in range(0, len(data), 2**20):
                file.write(data[at : at + 2**20])

    storage.again(stream)
    assert proxy.done == {"500": 1}
    assert storage.names("") == {"large": len(data)}
    assert storage.fs.list_multipart_uploads(BUCKET) == []


PARTS = {"w/one": 12 * 2**20, "w/two": 7 * 2**20, "w/small": 2**20}


def _pieces(storage: Storage) -> tuple[list[Piece], bytes]:
    """Spans of stored files, most of them long enough to be copied, and the bytes that they stand for."""
    files = {name: random.Random(name).randbytes(size) for name, size in PARTS.items()}
    for name, data in files.items():
        storage.write(name, data)
    spans = [
        *(Span("w/one", 512, 5 * 2**20), Span("w/one", 512 + 5 * 2**20, 2**20)),  # one part
        *(Span("w/small", 100, 1000), Span("w/two", 5, 7 * 2**20 - 5)),  # the first with what it lacks of the second
        Span("w/one", 6 * 2**20, 6 * 2**20),
    ]
    pieces: list[Piece] = [*spans, b"end"]
    return pieces, b"".join(files[span.path][span.start : span.start + span.length] for span in spans) + b"end"


def test_a_file_is_put_together_by_the_store(storage: Storage, proxy: FaultProxy) -> None:
    pieces, whole = _pieces(storage)
    before = dict(proxy.requests)
    made = storage.compose("_attempts/whole.tar", iter(pieces))
    asked = {method: proxy.requests[method] - before.get(method, 0) for method in proxy.requests}
    assert storage.read("_attempts/whole.tar") == whole
    assert (made.bytes, made.sha256) == (len(whole), None)
    assert asked["PUT"] == 4, "6 MiB copied, 5 MiB sent, 6 MiB copied, and the end sent"
    assert asked["GET"] <= 4, "what is too short to be copied, and what it lacks"
    assert storage.fs.list_multipart_uploads(BUCKET) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["POST", "PUT", "GET"])
def test_what_the_store_puts_together_survives_each_fault(
    storage: Storage, proxy: FaultProxy, kind: str, method: str
) -> None:
    pieces, whole = _pieces(storage)
    proxy.then(kind, kind, method=method)
    storage.compose("_attempts/whole.tar", iter(pieces))
    assert storage.read("_attempts/whole.tar") == whole
    assert storage.fs.list_multipart_uploads(BUCKET) == []
    assert proxy.done == {kind: 2}


def test_of_what_cannot_be_put_together_nothing_is_left(storage: Storage, proxy: FaultProxy) -> None:
    pieces, _ = _pieces(storage)
    with pytest.raises(OSError):  # noqa: PT011 - each make has its own words
        storage.compose("_attempts/whole.tar", [*pieces, Span("w/gone", 0, 6 * 2**20)])
    assert storage.names("_attempts") == {}
    assert storage.fs.list_multipart_uploads(BUCKET) == []


def test_uploads_that_a_killed_process_left_are_ended(storage: Storage, proxy: FaultProxy) -> None:
    fs, (bucket, key, _) = storage.fs, storage.fs.split_path(storage.path("_attempts/a/x.tar"))
    other = f"{key}.elsewhere".replace("_attempts", "_else")
    for name in (key, other):
        fs.call_s3("create_multipart_upload", Bucket=bucket, Key=name)
    storage.abort_uploads("_attempts")
    assert [one["Key"] for one in fs.list_multipart_uploads(BUCKET)] == [other]
    storage.abort_uploads("_else")
    assert fs.list_multipart_uploads(BUCKET) == []


def test_an_attempt_that_failed_before_its_first_file_is_begun_anew_at_once(
    storage: Storage, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it clears up is not there; that is no failure of the network, though one is being handled."""
    monkeypatch.setattr(retrying, "AWAY_S", 3.0)
    storage.write("a", b"1")
    proxy.then(*["500"] * 12, method="PUT", path="_attempts")
    done = storage.again(lambda: pack_rows(storage, "failures", 0, 0, {"failures": []}))
    assert proxy.done["500"] == 12
    assert [file.path for file in done.files] == ["failures/failures-000000.parquet"]
    assert proxy.requests["GET"] <= 5 * 13, "of an attempt; nobody asked on for what was to be cleared up"


def test_a_store_that_is_away_is_waited_for(
    storage: Storage, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(retrying, "SAY_S", 0.3)
    storage.write("a", b"1")
    proxy.away = True
    threading.Timer(2.0, setattr, (proxy, "away", False)).start()
    assert storage.read("a") == b"1"
    said = [record.getMessage() for record in caplog.records if record.name == "unscene"]
    assert f"{storage.url} does not answer (" in said[0]
    assert "asking again for up to" in said[0]
    assert said[-1] == f"{storage.url} answers again"


def test_a_store_that_stays_away_ends_in_one_sentence(
    storage: Storage, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrying, "AWAY_S", 1.0)
    proxy.away = True
    began = time.monotonic()
    for call in (lambda: storage.names(""), lambda: storage.create("a", b""), lambda: storage.exists("a")):
        with pytest.raises(StoreAway, match=r"does not answer \(.*the same command goes on once it answers$"):
            call()
    with pytest.raises(StoreAway, match=r"^output: s3://.* does not answer .*; check the address and the network;"):
        check_writable(storage)
    assert time.monotonic() - began < 20

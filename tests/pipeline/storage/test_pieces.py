"""Files that are put together: the same bytes whoever does it, in parts that S3 takes."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import pipeline.storage.multipart as multipart
import pipeline.storage.pieces as pieces
from pipeline.storage.folder import Storage
from pipeline.storage.multipart import composed, parts_of
from pipeline.storage.pieces import Piece, Span, joined

LEAST, MOST = 50, 400
FILES = {name: random.Random(name).randbytes(2_000) for name in "ab"}
CASES: dict[str, list[Piece]] = {
    "nothing": [],
    "bytes alone": [b"few"],
    "one span": [Span("a", 10, 300)],
    "spans that follow each other": [Span("a", 0, 30), Span("a", 30, 30), Span("a", 60, 200)],
    "a short span first": [Span("a", 0, 20), Span("b", 100, 300)],
    "a short one in the middle": [Span("a", 0, 60), Span("b", 5, 10), Span("a", 100, 60), b"end"],
    "short ones alone": [Span("a", n, 10) for n in range(0, 200, 20)],
    "bytes before and after": [b"head", Span("a", 0, 1_000), b"tail"],
    "longer than a part": [Span("a", 0, 2_000), Span("b", 0, 801)],
    "what is left of a span is short": [b"x", Span("a", 0, 51), Span("b", 0, 90)],
    "the last is short": [Span("a", 0, 100), Span("b", 0, 3)],
}


def read(path: str, start: int, length: int) -> bytes:
    return FILES[path][start : start + length]


def whole(of: Sequence[Piece]) -> bytes:
    return b"".join(piece if isinstance(piece, bytes) else read(piece.path, piece.start, piece.length) for piece in of)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"LEAST": LEAST, "MOST": MOST, "_SENT": 120}.items():
        monkeypatch.setattr(multipart, name, value)
    monkeypatch.setattr(pieces, "_BLOCK", 64)


@pytest.mark.parametrize("name", CASES)
def test_parts_hold_the_same_bytes_and_are_neither_too_short_nor_too_long(name: str, small_parts: None) -> None:
    parts = list(parts_of(CASES[name], read))
    assert whole(parts) == whole(CASES[name])
    sizes = [len(part) if isinstance(part, bytes) else part.length for part in parts]
    assert all(size >= LEAST for size in sizes[:-1])
    assert all(part.length <= MOST for part in parts if isinstance(part, Span))
    assert all(part.length >= LEAST for part in parts if isinstance(part, Span))


def test_any_pieces_make_parts_that_s3_takes(small_parts: None) -> None:
    draws = random.Random(0)
    for _ in range(500):
        case: list[Piece] = []
        for _ in range(draws.randrange(8)):
            start = draws.randrange(1_000)
            span = Span(draws.choice("ab"), start, draws.choice([1, 9, 49, 50, 51, 100, 449, 999]))
            case.append(draws.choice([span, span, draws.randbytes(draws.randrange(200))]))
        parts = list(parts_of(case, read))
        assert whole(parts) == whole(case)
        assert all((len(part) if isinstance(part, bytes) else part.length) >= LEAST for part in parts[:-1])


def test_of_large_spans_nothing_is_read(small_parts: None) -> None:
    asked: list[int] = []

    def counting(path: str, start: int, length: int) -> bytes:
        asked.append(length)
        return read(path, start, length)

    list(parts_of([Span("a", 0, 1_000), Span("b", 0, 60), Span("a", 1_000, 500), b"end"], counting))
    assert asked == []
    list(parts_of([Span("a", 0, 1_000), Span("b", 0, 20), Span("a", 1_000, 500)], counting))
    assert asked == [20, 30], "the short one, and what makes a part of it"


def test_spans_that_follow_each_other_are_one() -> None:
    found = list(joined([b"x", Span("a", 0, 5), Span("a", 5, 5), Span("b", 10, 1), Span("b", 12, 1), b"y"]))
    assert found == [b"x", Span("a", 0, 10), Span("b", 10, 1), Span("b", 12, 1), b"y"]


class Uploading:
    """An upload that keeps what it is told, and fails at a call."""

    def __init__(self, fails_at: str = "") -> None:
        self.fails_at, self.told = fails_at, list[str]()

    def __call__(self, path: str) -> Uploading:
        self.told.append(f"begin {path}")
        return self

    def _tell(self, text: str) -> None:
        self.told.append(text)
        if text.split()[0] == self.fails_at:
            raise OSError(text)

    def send(self, data: bytes) -> None:
        self._tell(f"send {len(data)}")

    def copy(self, span: Span) -> None:
        self._tell(f"copy {span.length}")

    def finish(self, size: int) -> None:
        self._tell(f"finish {size}")

    def discard(self) -> None:
        self._tell("discard")


def _never(path: str, data: bytes) -> None:
    raise AssertionError(path)


def test_an_upload_goes_from_part_to_part() -> None:
    upload = Uploading()
    made = composed(upload, _never, "there", iter([Span("a", 0, 9), b"123", Span("b", 0, 4)]))
    assert upload.told == ["begin there", "copy 9", "send 3", "copy 4", "finish 16"]
    assert (made.bytes, made.sha256) == (16, None)


@pytest.mark.parametrize("at", ["copy", "send", "finish"])
def test_an_upload_that_fails_is_given_up(at: str) -> None:
    upload = Uploading(at)
    with pytest.raises(OSError, match=at):
        composed(upload, _never, "there", iter([Span("a", 0, 9), b"123"]))
    assert upload.told[-1] == "discard"


@pytest.mark.parametrize("parts", [[], [b"all of it"]])
def test_a_small_file_is_written_at_once(parts: list[Piece]) -> None:
    written: dict[str, bytes] = {}
    composed(Uploading("begin"), written.__setitem__, "there", iter(parts))
    assert written == {"there": b"".join(part for part in parts if isinstance(part, bytes))}


@pytest.fixture
def stored(tmp_path: Path, small_parts: None) -> Storage:
    storage = Storage(str(tmp_path))
    for name, data in FILES.items():
        storage.write(name, data)
    return storage


@pytest.mark.parametrize("name", CASES)
def test_a_local_file_is_put_together_and_hashed(name: str, stored: Storage) -> None:
    made = stored.compose("below/whole", iter(CASES[name]))
    data = stored.read("below/whole")
    assert data == whole(CASES[name])
    assert (made.bytes, made.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_a_span_of_a_file_that_is_shorter_or_gone_is_an_error(stored: Storage) -> None:
    with pytest.raises(OSError, match="ends before byte 2010: it is damaged"):
        stored.compose("whole", [Span("a", 1_900, 110)])
    with pytest.raises(FileNotFoundError):
        stored.compose("whole", [Span("c", 0, 10)])


def test_few_pieces_are_taken_ahead_of_what_is_sent(small_parts: None) -> None:
    """A shard's files do not lie in memory at once."""
    taken: list[int] = []
    sent: list[int] = []

    class Seeing(Uploading):
        def send(self, data: bytes) -> None:
            sent.append(len(taken))

    def one_by_one() -> Iterator[Piece]:
        for number in range(50):
            taken.append(number)
            yield bytes(100)

    composed(Seeing(), _never, "there", parts_of(one_by_one(), read))
    assert len(sent) == 25
    assert all(ahead <= 2 * part + 6 for part, ahead in enumerate(sent))

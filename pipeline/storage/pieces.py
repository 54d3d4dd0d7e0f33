"""A file that is put together from bytes and from spans of files that are stored already."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import BinaryIO, Protocol

_BLOCK = 8 * 2**20
"""What is read of a span at once, where it passes through this process."""


@dataclass(frozen=True)
class Span:
    """Some bytes of a stored file, from `start`."""

    path: str
    start: int
    length: int


Piece = bytes | Span


@dataclass(frozen=True)
class Composed:
    """A file that was put together. sha256: None where its bytes have not passed through here."""

    bytes: int
    sha256: str | None


class Readable(Protocol):
    """What `streamed` needs of a store."""

    def read_range(self, path: str, start: int, length: int) -> bytes: ...

    def open_write(self, path: str) -> AbstractContextManager[BinaryIO]: ...


def joined(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """The same with spans in one that follow each other in a file."""
    before: Piece | None = None
    for piece in pieces:
        if (
            isinstance(piece, Span)
            and isinstance(before, Span)
            and (piece.path, piece.start) == (before.path, before.start + before.length)
        ):
            before = replace(before, length=before.length + piece.length)
            continue
        if before is not None:
            yield before
        before = piece
    if before is not None:
        yield before


def blocks(pieces: Iterable[Piece], read: Callable[[str, int, int], bytes]) -> Iterator[bytes]:
    """The bytes of the whole, a few at a time."""
    for piece in pieces:
        if isinstance(piece, bytes):
            yield piece
        else:
            for at in range(0, piece.length, _BLOCK):
                yield read_whole(read, Span(piece.path, piece.start + at, min(_BLOCK, piece.length - at)))


def read_whole(read: Callable[[str, int, int], bytes], span: Span) -> bytes:
    """Raises OSError where the file ends before the span does."""
    data = read(span.path, span.start, span.length)
    if len(data) < span.length:
        raise OSError(f"{span.path} ends before byte {span.start + span.length}: it is damaged")
    return data


def streamed(store: Readable, path: str, pieces: Iterable[Piece], check: Callable[[bytes], None]) -> Composed:
    """Puts a file together by reading what it is made of. check: is shown all of it, and may raise."""
    sha, size = hashlib.sha256(), 0
    with store.open_write(path) as file:
        for data in blocks(joined(pieces), store.read_range):
            check(data)
            sha.update(data)
            size += len(data)
            file.write(data)
    return Composed(size, sha.hexdigest())

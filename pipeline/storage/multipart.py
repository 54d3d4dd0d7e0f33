"""A file that S3 puts together itself: an upload in parts, most of which it copies from files that it has already."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice
from typing import Any, Protocol

from pipeline.storage.pieces import Composed, Piece, Span, joined, read_whole
from stages.retrying import persistently

LEAST = 5 * 2**20
"""Bytes of a part that is not the last: S3 takes none that is smaller."""
MOST = 2**30
"""Of a part that is copied: S3 takes 5 GiB, and one that breaks off is begun anew."""
_SENT = 16 * 2**20
"""Of a part that is sent from here, about."""


class Upload(Protocol):
    """An upload in parts that has begun. Parts are numbered in the order in which they come."""

    def send(self, data: bytes) -> None: ...

    def copy(self, span: Span) -> None: ...

    def finish(self, size: int) -> None:
        """Makes the file, of `size` bytes."""

    def discard(self) -> None:
        """Gives up what was sent."""


Begin = Callable[[str], Upload]
"""Path of a file -> an upload that will be the file."""


def parts_of(pieces: Iterable[Piece], read: Callable[[str, int, int], bytes]) -> Iterator[Piece]:
    """The same bytes in parts that S3 takes. What is too short to be copied is read, and the beginning of the span
    after it where that is what is missing."""
    held = bytearray()
    for piece in joined(pieces):
        if isinstance(piece, bytes):
            held += piece
        else:
            missing = LEAST - len(held) if 0 < len(held) < LEAST else 0
            if piece.length < missing + LEAST:
                missing = piece.length
            if missing:
                held += read_whole(read, Span(piece.path, piece.start, missing))
            if piece.length > missing:
                if held:
                    yield bytes(held)
                    held.clear()
                yield from _cut(Span(piece.path, piece.start + missing, piece.length - missing))
        if len(held) >= _SENT:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)


def _cut(span: Span) -> Iterator[Span]:
    """In parts that are short enough, none too short."""
    count = -(-span.length // MOST)
    each = -(-span.length // count)
    for at in range(0, span.length, each):
        yield Span(span.path, span.start + at, min(each, span.length - at))


def composed(begin: Begin, write: Callable[[str, bytes], None], path: str, parts: Iterator[Piece]) -> Composed:
    """Makes the file of `parts`. One part that is sent from here is written at once, which is one request and not
    three."""
    first = next(parts, b"")
    more = list(islice(parts, 1))
    if not more and isinstance(first, bytes):
        write(path, first)
        return Composed(len(first), None)
    upload, size = begin(path), 0
    try:
        for part in chain([first], more, parts):
            if isinstance(part, bytes):
                upload.send(part)
                size += len(part)
            else:
                upload.copy(part)
                size += part.length
        upload.finish(size)
    except BaseException:
        with contextlib.suppress(Exception):  # or its parts lie in the store, unseen and paid for
            upload.discard()
        raise
    return Composed(size, None)


class S3Upload:
    """By the calls of s3fs, each of which is safe to repeat. name: what a person calls the store."""

    def __init__(self, fs: Any, name: str, path: str) -> None:
        self.fs, self.name, self.path = fs, name, path
        self.bucket, self.key, _ = fs.split_path(path)
        self._etags: list[str] = []
        self._id = self._call("create_multipart_upload")["UploadId"]

    def send(self, data: bytes) -> None:
        answer = self._call("upload_part", UploadId=self._id, PartNumber=len(self._etags) + 1, Body=data)
        self._etags.append(answer["ETag"])

    def copy(self, span: Span) -> None:
        answer = self._call(
            "upload_part_copy",
            UploadId=self._id,
            PartNumber=len(self._etags) + 1,
            CopySource=span.path,
            CopySourceRange=f"bytes={span.start}-{span.start + span.length - 1}",
        )
        self._etags.append(answer["CopyPartResult"]["ETag"])

    def finish(self, size: int) -> None:
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(self._etags, 1)]
        try:
            self._call("complete_multipart_upload", UploadId=self._id, MultipartUpload={"Parts": parts})
        except FileNotFoundError:  # it was finished, and the answer lost
            if int(persistently(lambda: self.fs.info(self.path)["size"], self.name)) != size:
                raise
        self.fs.invalidate_cache(self.path)
        with contextlib.suppress(Exception):
            self._sweep()

    def discard(self) -> None:
        self._sweep()

    def _sweep(self) -> None:
        """Ends every upload to this very path: one more has begun where the answer to its beginning was lost."""
        abort_uploads(self.fs, self.name, self.bucket, self.key)

    def _call(self, method: str, **keywords: Any) -> Any:
        return persistently(lambda: self.fs.call_s3(method, Bucket=self.bucket, Key=self.key, **keywords), self.name)


def abort_uploads(fs: Any, name: str, bucket: str, prefix: str) -> None:
    """Ends the uploads that have begun under a prefix and were never finished."""
    listed = persistently(partial(fs.call_s3, "list_multipart_uploads", Bucket=bucket, Prefix=prefix), name)
    for one in listed.get("Uploads") or []:
        if str(one["Key"]).startswith(prefix):
            abort = partial(
                fs.call_s3, "abort_multipart_upload", Bucket=bucket, Key=one["Key"], UploadId=one["UploadId"]
            )
            with contextlib.suppress(FileNotFoundError):  # it has ended meanwhile
                persistently(abort, name)

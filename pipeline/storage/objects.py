"""Reads and writes on an object store, where a file appears whole or not at all by itself.

Create-if-absent is the conditional write of the filesystem that reads and writes everything else (`If-None-Match: *` on
S3, `ifGenerationMatch=0` on GCS, `overwrite=False` on Azure), so that there is one set of credentials and one address.
What its answer means is decided here and not there.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from pipeline.storage.multipart import Begin, S3Upload, abort_uploads, composed, parts_of
from pipeline.storage.pieces import Composed, Piece, streamed
from stages.retrying import persistently
from stages.transient import behind, http_status

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_ONE_PUT = 5 * 2**29
"""s3fs cuts a file from twice this size on into parts (S3 takes 5 GiB in one): a condition on the last of many requests
is not answered alike by all stores."""
_AHEAD = 8 * 2**20


class ObjectStore:
    """Paths are those of the fsspec filesystem `fs`. name: what a person calls the store.

    Raises StoreAway where the store does not answer for long, and what `fs` raises otherwise.
    """

    def __init__(self, fs: Any, name: str) -> None:
        self.fs, self.name = fs, name
        self._s3 = is_s3(fs)
        self._one_put: dict[str, Any] = {"chunksize": _ONE_PUT} if self._s3 else {}

    def write(self, path: str, data: bytes) -> None:
        persistently(lambda: self.fs.pipe_file(path, data), self.name)

    def create(self, path: str, data: bytes) -> bool:
        """True where the file is ours: this call made it, or it holds these very bytes. The answer to a write can be
        lost, and what asks again, be it we or a library below, hears that the file exists.

        `probe.py` refuses stores that ignore the condition.
        """
        return persistently(lambda: self._create(path, data), self.name)

    def _create(self, path: str, data: bytes) -> bool:
        try:
            self.fs.pipe_file(path, data, mode="create", **self._one_put)
        except Exception as error:
            if not _exists_already(error):
                raise
        else:
            return True
        try:
            return bytes(self.fs.cat_file(path)) == data
        except FileNotFoundError:  # and was deleted since
            return False

    def publish(self, source: str, target: str) -> None:
        persistently(lambda: self.fs.cp_file(source, target), self.name)

    @contextlib.contextmanager
    def open_write(self, path: str) -> Iterator[BinaryIO]:
        """What was sent of a file cannot be sent again from here: whoever writes it begins anew (`persistently`)."""
        file = self.fs.open(path, "wb")
        try:
            yield cast(BinaryIO, file)
            file.close()
        except BaseException:
            with contextlib.suppress(Exception):  # or its parts lie in the store, unseen and paid for
                file.discard()
            with contextlib.suppress(Exception):
                file.closed = True
            raise

    def compose(self, path: str, pieces: Iterable[Piece], check: Callable[[bytes], None]) -> Composed:
        """S3 puts together what it has already; from elsewhere it is read and sent again."""
        begin = begins_uploads(self.fs, self.name)
        if begin is None:
            return streamed(self, path, pieces, check)
        return composed(begin, self.write, path, parts_of(pieces, self.read_range))

    def abort_uploads(self, path: str) -> None:
        """Ends the uploads to files below a folder that have begun and were never finished, where one may."""
        if self._s3:
            bucket, key, _ = self.fs.split_path(path)
            with contextlib.suppress(OSError):  # a right of its own, or a store that does not know the question
                abort_uploads(self.fs, self.name, bucket, f"{key}/")

    def entries(self, path: str) -> list[dict[str, Any]]:
        """What lies directly in a folder: its `name`, `type` and `size`."""
        return list(self.fs.ls(path, detail=True))

    def read_range(self, path: str, start: int, length: int) -> bytes:
        """Fewer bytes than `length` only where the file ends before, and none past its end, as on a disk. Raises
        FileNotFoundError."""

        def read() -> bytes:
            if not length:  # S3 knows no range of nothing
                self.fs.info(path)
                return b""
            try:
                data = bytes(self.fs.cat_file(path, start=start, end=start + length))
            except Exception as error:
                if not _past_the_end(error):
                    raise
                data = b""
            if len(data) < length:
                self.fs.invalidate_cache(path)  # or a listing of when it was longer has its size
                if start + len(data) < int(self.fs.info(path)["size"]):
                    raise ConnectionError(f"{path}: {len(data)} of {length} bytes came")
            return data

        return persistently(read, self.name)

    def open_read(self, path: str) -> BinaryIO:
        """A file whose every read is asked for until it comes."""
        size = int(persistently(lambda: self.fs.info(path)["size"], self.name))
        file = io.BufferedReader(_Ranges(self, path, size), min(max(size, 1), _AHEAD))
        return cast(BinaryIO, file)


def begins_uploads(fs: Any, name: str) -> Begin | None:
    """What begins an upload in parts that may be copies, on a filesystem that knows them."""
    return partial(S3Upload, fs, name) if is_s3(fs) else None


def is_s3(fs: Any) -> bool:
    return "s3" in ((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol)


class _Ranges(io.RawIOBase):
    """A file of an object store by ranged reads. size: in bytes, when it was opened."""

    def __init__(self, store: ObjectStore, path: str, size: int) -> None:
        self._store, self._path, self._size, self._at = store, path, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = max(0, offset + (0, self._at, self._size)[whence])
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), self._size - self._at)
        if wanted <= 0:
            return 0
        data = self._store.read_range(self._path, self._at, wanted)
        view[: len(data)] = data
        self._at += len(data)
        return len(data)


def _exists_already(error: Exception) -> bool:
    """Whether a create was refused because the name is taken: a 412, whatever its text. s3fs looks for a word in the
    text that AWS sends, and that others leave out."""
    return isinstance(error, FileExistsError) or any(http_status(one)[0] == 412 for one in behind(error))


def _past_the_end(error: Exception) -> bool:
    """Whether a range was refused because the file ends before it begins."""
    return any(http_status(one)[0] == 416 for one in behind(error))

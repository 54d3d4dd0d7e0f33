"""One folder on any fsspec filesystem, with the three writes the ledger needs: whole, create-if-absent, publish."""

from __future__ import annotations

import contextlib
import posixpath
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, BinaryIO, TypeVar

import fsspec
from fsspec.implementations.local import LocalFileSystem

from pipeline.storage.local import LocalDisk, is_temporary
from pipeline.storage.objects import ObjectStore
from pipeline.storage.pieces import Composed, Piece, Span
from schemas.errors import OutputError
from schemas.secrets import is_masked
from stages.retrying import full_told, persistently

SHARED = "_shared"
"""Folder under OUTPUT for what is computed once a run."""

Found = TypeVar("Found")


class Storage:
    """Paths are relative to the folder and use `/`. Safe to pickle: it opens its filesystem anew in each process.

    A store that does not answer is asked again (`stages/retrying.py`); every method raises StoreAway where that takes
    too long, and what writes raises StoreFull where no room is left. Raises OutputError for an address that cannot be
    opened here.
    """

    def __init__(self, url: str) -> None:
        if is_masked(url):
            raise OutputError(
                f"{url} stands without its credentials, which run.json does not keep; leave them out of the address "
                "and have them in the environment"
            )
        try:
            self.fs, root = fsspec.core.url_to_fs(url)
        except ImportError as error:
            raise OutputError(
                f"{url} needs a package that is not installed ({error}); for S3: pip install s3fs, for "
                "GCS: pip install gcsfs, for Azure: pip install adlfs"
            ) from error
        except ValueError as error:
            raise OutputError(
                f"{url} is no address that fsspec knows ({error}); check what stands before ://"
            ) from error
        self.root = root.rstrip("/")
        self.local = isinstance(self.fs, LocalFileSystem)
        self.url = self.root if self.local else url  # absolute: workers run in another folder
        self._bytes: LocalDisk | ObjectStore = LocalDisk() if self.local else ObjectStore(self.fs, self.url)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Storage, (self.url,))

    # Not fsspec's DirFileSystem: it has no way back to a URL, and it forgets the listing of the root alone (in
    # the oldest fsspec that we allow, of nothing): the ledger must never be shown an old listing of a folder below.
    def path(self, name: str) -> str:
        return posixpath.join(self.root, name) if name else self.root

    def url_of(self, name: str) -> str:
        """The file as a URL that other programs understand (a plain path when local)."""
        return self.path(name) if self.local else str(self.fs.unstrip_protocol(self.path(name)))

    def exists(self, name: str) -> bool:
        try:
            self._ask(lambda: self.fs.info(self.path(name)))
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def names(self, folder: str) -> dict[str, int]:
        """File names directly in `folder` -> size in bytes; empty if there is no such folder. Without what is being
        written beside its name: see `every_name`."""
        return {
            posixpath.basename(entry["name"]): int(entry["size"] or 0)
            for entry in self._list(folder)
            if entry["type"] == "file" and not is_temporary(entry["name"])
        }

    def every_name(self, folder: str) -> list[str]:
        """The same with what a writer has not named yet, or a killed one left behind; without sizes."""
        return sorted(posixpath.basename(entry["name"]) for entry in self._list(folder) if entry["type"] == "file")

    def folders(self, folder: str) -> list[str]:
        """Names of the folders directly in `folder`."""
        return sorted(
            posixpath.basename(entry["name"].rstrip("/"))
            for entry in self._list(folder)
            if entry["type"] == "directory"
        )

    def _list(self, folder: str) -> list[dict[str, Any]]:
        """What lies directly in `folder`; not its own mark, a file of no name that some stores keep for a folder."""
        path = self.path(folder)
        try:
            found: list[dict[str, Any]] = self._ask(lambda: self._bytes.entries(path))
        except (FileNotFoundError, NotADirectoryError):
            return []
        own = path.strip("/")
        return [entry for entry in found if entry["name"].strip("/") != own]

    def read(self, name: str) -> bytes:
        return bytes(self._ask(lambda: self.fs.cat_file(self.path(name))))

    def read_range(self, name: str, start: int, length: int) -> bytes:
        """`length` bytes from `start`, without reading the rest of the file."""
        return self._bytes.read_range(self.path(name), start, length)

    def open_read(self, name: str) -> BinaryIO:
        """A file to read from, and to close."""
        return self._bytes.open_read(self.path(name))

    def write(self, name: str, data: bytes) -> None:
        """The whole file or nothing: readers never see half of it. An older file is replaced."""
        with full_told(self.url):
            self._bytes.write(self.path(name), data)

    def create(self, name: str, data: bytes) -> bool:
        """Create-if-absent: true if this call made the file, false if it was there already. This is the commit.

        On an object store also true if the file there holds these very bytes, which is how a create whose answer was
        lost looks. Whoever has to know which of two it was gives them different bytes, as commits do.
        """
        with full_told(self.url):
            return self._bytes.create(self.path(name), data)

    @contextlib.contextmanager
    def open_write(self, name: str) -> Iterator[BinaryIO]:
        """A file to stream into. Not atomic, and not tried again: only for files that nothing names yet, by whoever can
        begin anew (`again`)."""
        with full_told(self.url), self._bytes.open_write(self.path(name)) as file:
            yield file

    def compose(
        self, name: str, pieces: Iterable[Piece], check: Callable[[bytes], None] = lambda data: None
    ) -> Composed:
        """Writes a file of bytes and of spans of files here (`Span.path` as all paths are). S3 copies the spans itself;
        elsewhere they are read, and `check` is shown the bytes in their order. Not atomic, and not tried again, as
        `open_write`. Raises OSError where a span's file is gone or shorter, and what `check` does."""
        there = (replace(piece, path=self.path(piece.path)) if isinstance(piece, Span) else piece for piece in pieces)
        with full_told(self.url):
            return self._bytes.compose(self.path(name), there, check)

    def abort_uploads(self, folder: str) -> None:
        """Ends what a killed process had begun to send to files below the folder, where the store keeps such."""
        if isinstance(self._bytes, ObjectStore):
            self._bytes.abort_uploads(self.path(folder))

    def publish(self, source: str, target: str) -> None:
        """Makes `target` the content of `source`, replacing an older one at once; the data stays where it is stored."""
        with full_told(self.url):
            self._bytes.publish(self.path(source), self.path(target))

    def delete(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._ask(lambda: self.fs.rm_file(self.path(name)))

    def delete_folder(self, folder: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._ask(lambda: self.fs.rm(self.path(folder), recursive=True))

    def again(self, call: Callable[[], Found]) -> Found:
        """What `call` returns, begun anew where this store failed it: for work that streams into files."""
        return persistently(call, self.url)

    def _ask(self, call: Callable[[], Found]) -> Found:
        def asked() -> Found:
            self.fs.invalidate_cache()  # also between two tries: the ledger is never shown an old listing
            return call()

        return persistently(asked, self.url)

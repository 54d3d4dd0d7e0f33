"""One folder on any fsspec filesystem, with the three writes the ledger needs: whole, create-if-absent, publish."""

from __future__ import annotations

import contextlib
import posixpath
from contextlib import AbstractContextManager
from typing import Any, BinaryIO, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from pipeline.storage.local import LocalDisk
from pipeline.storage.objects import ObjectStore
from schemas.errors import OutputError
from schemas.secrets import is_masked

SHARED = "_shared"
"""Folder under OUTPUT for what is computed once a run."""


class Storage:
    """Paths are relative to the folder and use `/`. Safe to pickle: it opens its filesystem anew in each process.

    Raises OutputError for an address that cannot be opened here.
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
                "GCS: pip install gcsfs"
            ) from error
        except ValueError as error:
            raise OutputError(
                f"{url} is no address that fsspec knows ({error}); check what stands before ://"
            ) from error
        self.root = root.rstrip("/")
        self.local = isinstance(self.fs, LocalFileSystem)
        self.url = self.root if self.local else url  # absolute: workers run in another folder
        self._writes: LocalDisk | ObjectStore = LocalDisk() if self.local else ObjectStore(self.fs)

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
        self.fs.invalidate_cache()
        return bool(self.fs.exists(self.path(name)))

    def names(self, folder: str) -> dict[str, int]:
        """File names directly in `folder` -> size in bytes; empty if there is no such folder."""
        self.fs.invalidate_cache()
        try:
            found = self.fs.ls(self.path(folder), detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        return {
            posixpath.basename(entry["name"]): int(entry["size"] or 0) for entry in found if entry["type"] == "file"
        }

    def folders(self, folder: str) -> list[str]:
        """Names of the folders directly in `folder`."""
        self.fs.invalidate_cache()
        try:
            found = self.fs.ls(self.path(folder), detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(posixpath.basename(entry["name"].rstrip("/")) for entry in found if entry["type"] == "directory")

    def read(self, name: str) -> bytes:
        return bytes(self.fs.cat_file(self.path(name)))

    def read_range(self, name: str, start: int, length: int) -> bytes:
        """`length` bytes from `start`, without reading the rest of the file."""
        return bytes(self.fs.cat_file(self.path(name), start=start, end=start + length))

    def open_read(self, name: str) -> BinaryIO:
        """A file to read from, and to close."""
        return cast(BinaryIO, self.fs.open(self.path(name), "rb"))

    def write(self, name: str, data: bytes) -> None:
        """The whole file or nothing: readers never see half of it. An older file is replaced."""
        self._writes.write(self.path(name), data)

    def create(self, name: str, data: bytes) -> bool:
        """Create-if-absent: true if this call made the file, false if it was there already. This is the commit."""
        return self._writes.create(self.path(name), data)

    def open_write(self, name: str) -> AbstractContextManager[BinaryIO]:
        """A file to stream into. Not atomic: only for files that nothing names yet."""
        return self._writes.open_write(self.path(name))

    def publish(self, source: str, target: str) -> None:
        """Makes `target` the content of `source`, replacing an older one at once; the data stays where it is stored."""
        self._writes.publish(self.path(source), self.path(target))

    def delete(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.fs.rm_file(self.path(name))

    def delete_folder(self, folder: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.fs.rm(self.path(folder), recursive=True)

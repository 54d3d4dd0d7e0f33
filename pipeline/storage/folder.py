"""One folder on any fsspec filesystem, with the three writes the ledger needs: whole, create-if-absent, publish."""

from __future__ import annotations

import contextlib
import os
import posixpath
import uuid
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from schemas.errors import SpecError

SHARED = "_shared"
"""Folder under OUTPUT for what is computed once a run."""


class Storage:
    """Paths are relative to the folder and use `/`. Safe to pickle: it opens its filesystem anew in each process.

    Raises SpecError for an address that cannot be opened here.
    """

    def __init__(self, url: str) -> None:
        try:
            self.fs, root = fsspec.core.url_to_fs(url)
        except ImportError as error:
            raise SpecError(
                f"{url} needs a package that is not installed ({error}); for S3 and GCS: pip install -e '.[s3]' or "
                "'.[gcs]'"
            ) from error
        except ValueError as error:
            raise SpecError(f"{url} is no address that fsspec knows ({error}); check what stands before ://") from error
        self.root = root.rstrip("/")
        self.local = isinstance(self.fs, LocalFileSystem)
        self.url = self.root if self.local else url  # absolute: workers run in another folder

    def __reduce__(self) -> tuple[Any, ...]:
        return (Storage, (self.url,))

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
        except FileNotFoundError:
            return {}
        return {
            posixpath.basename(entry["name"]): int(entry["size"] or 0) for entry in found if entry["type"] == "file"
        }

    def folders(self, folder: str) -> list[str]:
        """Names of the folders directly in `folder`."""
        self.fs.invalidate_cache()
        try:
            found = self.fs.ls(self.path(folder), detail=True)
        except FileNotFoundError:
            return []
        return sorted(posixpath.basename(entry["name"].rstrip("/")) for entry in found if entry["type"] == "directory")

    def read(self, name: str) -> bytes:
        return bytes(self.fs.cat_file(self.path(name)))

    def read_range(self, name: str, start: int, length: int) -> bytes:
        """`length` bytes from `start`, without reading the rest of the file."""
        return bytes(self.fs.cat_file(self.path(name), start=start, end=start + length))

    def write(self, name: str, data: bytes) -> None:
        """The whole file or nothing: readers never see half of it. An older file is replaced."""
        path = self.path(name)
        if not self.local:
            self.fs.pipe_file(path, data)
            return
        temporary = self._temporary(path, data)
        os.replace(temporary, path)

    def create(self, name: str, data: bytes) -> bool:
        """Create-if-absent: true if this call made the file, false if it was there already. This is the commit."""
        path = self.path(name)
        if not self.local:
            try:
                self.fs.pipe_file(path, data, mode="create")
            except FileExistsError:
                return False
            return True
        temporary = self._temporary(path, data)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        finally:
            os.unlink(temporary)
        _sync_folder(posixpath.dirname(path))
        return True

    @contextlib.contextmanager
    def open_write(self, name: str) -> Iterator[BinaryIO]:
        """A file to stream into. Not atomic: only for files that nothing names yet."""
        path = self.path(name)
        if self.local:
            os.makedirs(posixpath.dirname(path), exist_ok=True)
        with self.fs.open(path, "wb") as file:
            yield cast(BinaryIO, file)
            if self.local:
                file.flush()
                os.fsync(file.fileno())

    def publish(self, source: str, target: str) -> None:
        """Makes `target` the content of `source`, replacing an older one at once; the data stays where it is stored."""
        start, end = self.path(source), self.path(target)
        if not self.local:
            self.fs.cp_file(start, end)
            return
        os.makedirs(posixpath.dirname(end), exist_ok=True)
        temporary = f"{end}.{uuid.uuid4().hex}.tmp"
        os.link(start, temporary)
        os.replace(temporary, end)

    def delete(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.fs.rm_file(self.path(name))

    def delete_folder(self, folder: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.fs.rm(self.path(folder), recursive=True)

    def check_writable(self) -> None:
        """Raises SpecError if nothing can be written here."""
        probe = f"_probe-{uuid.uuid4().hex}"
        try:
            self.create(probe, b"")  # as a commit is made: needs hard links, or an object store's conditional write
            self.delete(probe)
        except Exception as error:
            raise SpecError(
                f"output: cannot write under {self.url} ({type(error).__name__}: {error}); check the "
                "path and your permissions"
            ) from None

    def _temporary(self, path: str, data: bytes) -> str:
        """Writes and syncs `data` beside `path`; returns the temporary's name."""
        os.makedirs(posixpath.dirname(path), exist_ok=True)
        temporary = f"{path}.{uuid.uuid4().hex}.tmp"
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return temporary


def _sync_folder(folder: str) -> None:
    """A link survives a power cut only once its folder is on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

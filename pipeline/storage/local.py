"""The writes of the ledger on a local disk: beside the name first and synced, then linked or moved into place."""

from __future__ import annotations

import contextlib
import os
import posixpath
import uuid
from collections.abc import Iterator
from typing import BinaryIO, cast


class LocalDisk:
    """Paths are absolute; folders are made as they are needed."""

    def write(self, path: str, data: bytes) -> None:
        os.replace(_beside(path, data), path)

    def create(self, path: str, data: bytes) -> bool:
        """A hard link is refused where a name exists, and its file is whole before it has that name."""
        temporary = _beside(path, data)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        finally:
            os.unlink(temporary)
        _sync_folder(posixpath.dirname(path))
        return True

    def publish(self, source: str, target: str) -> None:
        os.makedirs(posixpath.dirname(target), exist_ok=True)
        temporary = _temporary(target)
        os.link(source, temporary)
        os.replace(temporary, target)
        with contextlib.suppress(FileNotFoundError):  # two names of one file: moving one to the other does nothing
            os.unlink(temporary)

    @contextlib.contextmanager
    def open_write(self, path: str) -> Iterator[BinaryIO]:
        os.makedirs(posixpath.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            yield cast(BinaryIO, file)
            file.flush()
            os.fsync(file.fileno())


def _beside(path: str, data: bytes) -> str:
    """Writes and syncs `data` beside `path`; returns the temporary's name."""
    os.makedirs(posixpath.dirname(path), exist_ok=True)
    temporary = _temporary(path)
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return temporary


def _temporary(path: str) -> str:
    return f"{path}.{uuid.uuid4().hex}.tmp"


def _sync_folder(folder: str) -> None:
    """A link survives a power cut only once its folder is on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""Reads and writes on a local disk. What is written lies beside its name first, synced, and is then linked or moved
into place; where the ledger goes on as if it were there (a commit, the files of one), the folder is synced too."""

from __future__ import annotations

import contextlib
import os
import posixpath
import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO, cast

from pipeline.storage.pieces import Composed, Piece, streamed

_TEMPORARY = re.compile(r".\.[0-9a-f]{32}\.tmp$")


def is_temporary(path: str) -> bool:
    """Whether a file is one that is written beside its name, and has not got it yet."""
    return _TEMPORARY.search(path) is not None


class LocalDisk:
    """Paths are absolute; folders are made as they are needed."""

    def write(self, path: str, data: bytes) -> None:
        temporary = _beside(path, data)
        with _gone_if_it_fails(temporary):
            os.replace(temporary, path)

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
        _make_folder(posixpath.dirname(target))
        temporary = _temporary(target)
        os.link(source, temporary)
        with _gone_if_it_fails(temporary):
            os.replace(temporary, target)
        with contextlib.suppress(FileNotFoundError):  # two names of one file: moving one to the other does nothing
            os.unlink(temporary)
        _sync_folder(posixpath.dirname(target))

    @contextlib.contextmanager
    def open_write(self, path: str) -> Iterator[BinaryIO]:
        _make_folder(posixpath.dirname(path))
        with open(path, "wb") as file:
            yield cast(BinaryIO, file)
            file.flush()
            os.fsync(file.fileno())
        _sync_folder(posixpath.dirname(path))

    def compose(self, path: str, pieces: Iterable[Piece], check: Callable[[bytes], None]) -> Composed:
        return streamed(self, path, pieces, check)

    def entries(self, path: str) -> list[dict[str, Any]]:
        """What lies directly in a folder: `name`, `type` and `size` as fsspec has them, which asks the disk three times
        for each. Raises FileNotFoundError, NotADirectoryError."""
        found: list[dict[str, Any]] = []
        with os.scandir(path) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # gone since, or a link to nothing
                    kind = "directory" if entry.is_dir() else "file" if entry.is_file() else "other"
                    size = entry.stat().st_size if kind == "file" else 0
                    found.append({"name": entry.path, "type": kind, "size": size})
        return found

    def read_range(self, path: str, start: int, length: int) -> bytes:
        with open(path, "rb") as file:
            file.seek(start)
            return file.read(length)

    def open_read(self, path: str) -> BinaryIO:
        return open(path, "rb")


def _beside(path: str, data: bytes) -> str:
    """Writes and syncs `data` beside `path`; returns the temporary's name."""
    _make_folder(posixpath.dirname(path))
    temporary = _temporary(path)
    with _gone_if_it_fails(temporary), open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return temporary


@contextlib.contextmanager
def _gone_if_it_fails(temporary: str) -> Iterator[None]:
    """A full disk is not to be filled further by what did not fit."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _temporary(path: str) -> str:
    return f"{path}.{uuid.uuid4().hex}.tmp"


def _make_folder(folder: str) -> None:
    """Makes what is missing of a folder's path, each part known to the one above when the disk loses power."""
    missing: list[str] = []
    while not os.path.isdir(folder) and folder not in ("", "/"):
        missing.append(folder)
        folder = posixpath.dirname(folder)
    if missing:
        os.makedirs(missing[0], exist_ok=True)
    for made in missing:
        _sync_folder(posixpath.dirname(made))


def _sync_folder(folder: str) -> None:
    """A link survives a power cut only once its folder is on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""The writes of the ledger on an object store, where a file appears whole or not at all by itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, BinaryIO, cast


class ObjectStore:
    """Paths are those of the fsspec filesystem `fs`."""

    def __init__(self, fs: Any) -> None:
        self.fs = fs

    def write(self, path: str, data: bytes) -> None:
        self.fs.pipe_file(path, data)

    def create(self, path: str, data: bytes) -> bool:
        """A conditional write: the store refuses it where the name exists. See `probe.py` for stores that do not."""
        try:
            self.fs.pipe_file(path, data, mode="create")
        except FileExistsError:
            return False
        return True

    def publish(self, source: str, target: str) -> None:
        self.fs.cp_file(source, target)

    @contextlib.contextmanager
    def open_write(self, path: str) -> Iterator[BinaryIO]:
        with self.fs.open(path, "wb") as file:
            yield cast(BinaryIO, file)

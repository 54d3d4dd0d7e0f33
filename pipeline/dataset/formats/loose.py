"""Parts of loose files: each picture is a file of its own, and what lies beside it another."""

from __future__ import annotations

from pipeline.storage.folder import Storage
from pipeline.storage.many import in_order

_FILES, _BYTES = 64, 2**24
"""What waits at most."""


class LooseFiles:
    """Writes files, some dozens at once: a store answers many in the time of one. files: name -> size in bytes."""

    def __init__(self, into: Storage) -> None:
        self._into = into
        self._waiting: list[tuple[str, bytes]] = []
        self._bytes = 0
        self.files: dict[str, int] = {}

    def put(self, name: str, data: bytes) -> None:
        """Writes the file, soon."""
        self._waiting.append((name, data))
        self.files[name] = len(data)
        self._bytes += len(data)
        if len(self._waiting) >= _FILES or self._bytes >= _BYTES:
            self.flush()

    def flush(self) -> None:
        """Writes what waits."""
        for _ in in_order(lambda file: self._into.write(*file), self._waiting):
            pass
        self._waiting.clear()
        self._bytes = 0

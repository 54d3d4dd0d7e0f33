"""Writing a file of a shard: its size and hash are known once it is written, without reading it."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from typing import Any, BinaryIO, cast

from pipeline.ledger.commits import ShardFile
from pipeline.storage.folder import Storage


class _Hashing(io.RawIOBase):
    """Counts and hashes what is written through it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.sha, self.count = file, hashlib.sha256(), 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.count

    def write(self, data: Any) -> int:
        view = bytes(data)
        self.sha.update(view)
        self.count += len(view)
        self.file.write(view)
        return len(view)


def write_file(storage: Storage, folder: str, path: str, write: Callable[[BinaryIO], None], rows: int) -> ShardFile:
    """Has `write` fill the file of `folder` that is to be published as `path`. rows: of a table."""
    with storage.open_write(f"{folder}/{path.rsplit('/', 1)[1]}") as file:
        through = _Hashing(file)
        write(cast(BinaryIO, through))
    return ShardFile(path, through.count, through.sha.hexdigest(), rows)

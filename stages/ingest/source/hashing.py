"""What the plan knows a file by: its size and the hash of its bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from schemas.errors import StoreAway
from schemas.job import Source
from schemas.outcomes import as_told
from stages.ingest.source.files import check_whole, from_store
from stages.transient import why_unread

_BLOCK = 1 << 20
_TOO_LARGE = "more than ingest.max_bytes"


@dataclass(frozen=True)
class Hashed:
    """One source file as the plan sees it: its size and hash, or why it could not be read."""

    uri: str
    bytes: int | None
    sha256: str | None
    error: str | None


def hash_file(uri: str, source: Source, max_bytes: int) -> Hashed:
    """SHA-256 of one file, a block of it in memory at a time.

    A file that cannot be read, or is larger than `max_bytes`, comes back with its error. Raises StoreAway when its
    store does not answer: that is nothing to be written into a plan.
    """
    size: int | None = None

    def read(fs: Any, path: str) -> Hashed:
        nonlocal size
        size = int(fs.size(path))
        if size > max_bytes:
            return Hashed(uri, size, None, f"{size} bytes, {_TOO_LARGE} ({max_bytes})")
        digest, come = hashlib.sha256(), 0
        with fs.open(path, "rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                come += len(block)
        check_whole(come, size, uri)
        return Hashed(uri, size, digest.hexdigest(), None)

    try:
        return from_store(uri, source, read)
    except (StoreAway, MemoryError):
        raise
    except Exception as error:  # every backend has its own classes
        return Hashed(uri, size, None, as_told(why_unread(error)))


def unread_when_planned(error: str) -> str:
    """What to say, with the remedy, of a file that the plan could not read for this reason."""
    if _TOO_LARGE in error:
        return f"{error} when the plan was made; raise that if the file is meant, then run the job again"
    return f"{error} (when the plan was made); repair it, then run the job again"


def hash_of_all(hashes: Sequence[str]) -> str:
    """One hash for several files in their order."""
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()

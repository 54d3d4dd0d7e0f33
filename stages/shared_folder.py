"""A file on any fsspec filesystem that is there whole or not at all."""

from __future__ import annotations

import uuid
from typing import Any

from stages.retrying import persistently


def write_whole(fs: Any, folder: str, name: str, data: bytes) -> None:
    """Writes `folder/name`, replacing an older one: beside its name first, then moved. Raises StoreAway."""
    store = str(fs.unstrip_protocol(folder))
    partial = f"{folder}/{name}.{uuid.uuid4().hex}.partial"

    def write() -> None:
        fs.makedirs(folder, exist_ok=True)
        fs.pipe_file(partial, data)
        fs.mv(partial, f"{folder}/{name}")

    persistently(write, store)  # as a whole: of a move whose answer was lost nothing is left to be moved

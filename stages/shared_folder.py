"""A file on any fsspec filesystem that is there whole or not at all."""

from __future__ import annotations

import uuid
from typing import Any


def write_whole(fs: Any, folder: str, name: str, data: bytes) -> None:
    """Writes `folder/name`, replacing an older one: beside its name first, then moved."""
    fs.makedirs(folder, exist_ok=True)
    partial = f"{folder}/{name}.{uuid.uuid4().hex}.partial"
    fs.pipe_file(partial, data)
    fs.mv(partial, f"{folder}/{name}")

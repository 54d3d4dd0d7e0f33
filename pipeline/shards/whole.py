"""Whether a file of a shard is what was committed, byte for byte."""

from __future__ import annotations

import hashlib
import zlib

from pipeline.ledger.commits import Commit, ShardFile
from pipeline.storage.folder import Storage
from pipeline.storage.pieces import Span, blocks


def as_committed(storage: Storage, record: Commit, file: ShardFile, name: str | None = None) -> bool:
    """Reads it whole: by its hash, and of a tar that the store put together by its size and what the commit knows of
    each member. name: where it is, if not under its plain name. Raises OSError where it is gone, or shorter."""
    name = name or file.path
    if file.sha256 is not None:
        digest, size = hashlib.sha256(), 0
        with storage.open_read(name) as opened:
            while block := opened.read(2**20):
                digest.update(block)
                size += len(block)
        return (size, digest.hexdigest()) == (file.bytes, file.sha256)
    folder, base = name.rsplit("/", 1)
    if storage.names(folder).get(base) != file.bytes:
        return False
    for member, (at, size) in record.members.items():
        crc = 0
        for data in blocks([Span(name, at, size)], storage.read_range):
            crc = zlib.crc32(data, crc)
        if crc != record.sums.get(member, crc):
            return False
    return True

"""Whether a file of a shard is what was committed, and what it is made of is what was left, byte for byte."""

from __future__ import annotations

import hashlib
import zlib
from collections import deque
from collections.abc import Iterable

from pipeline.ledger.commits import Commit, ShardFile
from pipeline.shards.parts import Part
from pipeline.shards.tars import header, padded
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


class PartDamaged(OSError):
    """A file of parts is not what a worker has left: its unit is to be made anew. filename: see OSError."""


class Passing:
    """Holds the bytes of a shard's tar against what is known of its members while they pass by, as a whole tar goes by
    its own hash from then on: what was wrong before would be what was committed."""

    def __init__(self, parts: Iterable[Part]) -> None:
        self._due: deque[tuple[int, int, Part]] = deque()
        for part in parts:
            for name, size, crc in part.files:
                head, rest = header(name, size), b"\0" * (padded(size) - size)
                for length, sum_ in ((len(head), zlib.crc32(head)), (size, crc), (len(rest), zlib.crc32(rest))):
                    if length:
                        self._due.append((length, sum_, part))
        self._seen = self._crc = 0

    def __call__(self, data: bytes) -> None:
        """The bytes that come next. Raises PartDamaged."""
        rest = memoryview(data)
        while rest and self._due:
            length, sum_, part = self._due[0]
            now, rest = rest[: length - self._seen], rest[length - self._seen :]
            self._seen, self._crc = self._seen + len(now), zlib.crc32(now, self._crc)
            if self._seen == length:
                if self._crc != sum_:
                    raise PartDamaged(None, "not what was left there", getattr(part.content, "path", part.scene_id))
                self._due.popleft()
                self._seen = self._crc = 0

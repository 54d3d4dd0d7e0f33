"""Parts: what a worker leaves on storage of some scenes until their shard is packed.

A file of parts is one tar below `_work/<stage>/<shard>.r<round>/`, written whole: `outcomes.json` (of each scene its
rows, its failure, and its files with size and CRC-32), then the scenes' files, one scene after the other, just as they
will stand in the shard's tar. So a shard is put together from spans of such files, which a store may copy by itself,
and its packer reads the heads alone.

A worker leaves one of a unit, or several of a large one. What the driver finds about a scene stands in a file by the
scene's own name, and goes before what its unit may have left of it. Parts are why a killed driver loses at most the
units in flight, and why pictures never travel through it (invariant 8).
"""

from __future__ import annotations

import json
import logging
import re
import tarfile
import uuid
import zlib
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from pipeline.shards.tars import BLOCK, closing, member, padded
from pipeline.storage.folder import Storage
from pipeline.storage.many import in_order
from pipeline.storage.pieces import Piece, Span
from schemas.outcomes import Failure, SceneOutput

log = logging.getLogger(__name__)

_OUTCOMES = "outcomes.json"
_NAME = re.compile(r"^([^-]+)(?:-[0-9a-f]{12}-(\d+)(?:-([0-9a-f]{8})-(\d+))?)?\.tar$")
"""The first scene; and of what a unit left a number of its own, the bytes of its head, the CRC-32 of that, and how many
scenes it has results of."""
_GUESS = 2**16
"""Bytes of a head, where the name does not tell."""
_WHOLE = 64 * 2**20
"""Bytes of files after which a worker leaves what it has of a unit: nobody holds a unit of full models at once."""

File = tuple[str, int, int]
"""Name, size and CRC-32 of a scene's file."""


@dataclass(frozen=True)
class Part:
    """What is there of one scene. files: in their order in `content`, as members of a tar; content: where they are, or
    what makes them."""

    scene_id: str
    rows: list[dict[str, Any]]
    failure: Failure | None
    files: tuple[File, ...] = ()
    content: Span | Callable[[], bytes] | None = None

    @property
    def size(self) -> int:
        """Of its files as members of a tar. Unit: bytes."""
        return sum(BLOCK + padded(size) for _, size, _ in self.files)

    def pieces(self) -> Iterator[Piece]:
        """The members."""
        if self.files and self.content is not None:
            yield self.content if isinstance(self.content, Span) else self.content()


def work_folder(stage: str, shard: int, round_: int) -> str:
    return f"_work/{stage}/{shard:06d}.r{round_}"


def part_name(stage: str, shard: int, round_: int, scene_id: str) -> str:
    """What is found about one scene by whoever did not make it."""
    return f"{work_folder(stage, shard, round_)}/{scene_id}.tar"


def members(files: dict[str, bytes]) -> bytes:
    """A scene's files as members of a tar."""
    return b"".join(member(name, data) for name, data in files.items())


def files_of(files: dict[str, bytes]) -> tuple[File, ...]:
    """What is told of a scene's files."""
    return tuple((name, len(data), zlib.crc32(data)) for name, data in files.items())


class PartsWriter:
    """Leaves the scenes of a unit in one file, or in several where they are large. folder: the shard's, see
    `work_folder`."""

    def __init__(self, storage: Storage, folder: str) -> None:
        self.storage, self.folder = storage, folder
        self._outcomes: list[dict[str, Any]] = []
        self._contents: list[bytes] = []

    def add(self, output: SceneOutput) -> None:
        self._outcomes.append(_outcome(output))
        self._contents.append(members(output.files))
        if sum(map(len, self._contents)) >= _WHOLE:
            self.close()

    def close(self) -> None:
        """Writes what is not written yet."""
        if self._outcomes:
            head = member(_OUTCOMES, json.dumps(self._outcomes).encode())
            first = self._outcomes[0]["scene_id"]
            done = sum(outcome["failure"] is None for outcome in self._outcomes)
            name = f"{first}-{uuid.uuid4().hex[:12]}-{len(head)}-{zlib.crc32(head):08x}-{done}.tar"
            _write(self.storage, f"{self.folder}/{name}", head, self._contents)
        self._outcomes, self._contents = [], []


def write_part(storage: Storage, name: str, output: SceneOutput) -> None:
    """One scene's, by a name of its own (`part_name`)."""
    _write(storage, name, member(_OUTCOMES, json.dumps([_outcome(output)]).encode()), [members(output.files)])


def _outcome(output: SceneOutput) -> dict[str, Any]:
    failure = asdict(output.failure) if output.failure else None
    return {
        "scene_id": output.scene_id,
        "rows": output.rows,
        "failure": failure,
        "files": files_of(output.files),
    }


def _write(storage: Storage, name: str, head: bytes, contents: Sequence[bytes]) -> None:
    size = len(head) + sum(map(len, contents))
    storage.write(name, b"".join((head, *contents, closing(size))))


def left_in_parts(storage: Storage, stage: str, committed: Container[int]) -> int:
    """Scenes that a stage is through with and no commit holds yet, by the names of their parts: those of the first
    round of shards that are not committed."""
    folders = [f"_work/{stage}/{name}" for name in storage.folders(f"_work/{stage}")]
    waiting = [one for one in folders if one.endswith(".r0") and int(one[-9:-3]) not in committed]
    count = 0
    for names in in_order(storage.names, waiting):
        found = [match for name in names if (match := _NAME.match(name)) and match[4]]
        count += sum({match[1]: int(match[4]) for match in found}.values())  # of two attempts at a unit one counts
    return count


def find_parts(storage: Storage, folder: str, units: Container[str] | None = None) -> dict[str, Part]:
    """Scene -> its part in a shard's folder. units: scenes, with one of which a file has to begin. One listing, and one
    short read a file."""
    found: dict[str, Part] = {}
    own: dict[str, Part] = {}
    files: list[_Listed] = []
    for name, size in sorted(storage.names(folder).items()):
        match = _NAME.match(name)
        if match and (units is None or match[1] in units):
            files.append(_Listed(f"{folder}/{name}", size, int(match[2] or 0), match[3]))
    for file, parts in zip(files, in_order(partial(_read, storage), files), strict=True):
        for part in parts:
            if not file.head:
                own[part.scene_id] = part
            elif part.scene_id not in found or part.failure is None:  # of two attempts the one that came to something
                found[part.scene_id] = part
    return found | own


@dataclass(frozen=True)
class _Listed:
    """A file of parts. head: bytes of it, or 0; crc: of the head, in hexadecimal digits. As its name tells."""

    name: str
    size: int
    head: int
    crc: str | None


def _read(storage: Storage, file: _Listed) -> list[Part]:
    """The parts of a file; none of one that an older Unscene has left, or that is damaged, whose unit is made anew."""
    name, size = file.name, file.size
    head = storage.read_range(name, 0, min(size, file.head or _GUESS)) if size else b""
    try:
        if file.crc is not None and f"{zlib.crc32(head):08x}" != file.crc:
            raise ValueError("its head is not the one that was written")
        info = tarfile.TarInfo.frombuf(head[:BLOCK], "utf-8", "surrogateescape")
        if info.name != _OUTCOMES:
            return []
        lacking = BLOCK + info.size - len(head)
        if 0 < lacking <= size - len(head):
            head += storage.read_range(name, len(head), lacking)
        parts = _parts(name, head[BLOCK : BLOCK + info.size], BLOCK + padded(info.size))
        if size < sum((part.size for part in parts), BLOCK + padded(info.size)):
            raise ValueError(f"{size} bytes are not all of it")
    except (tarfile.TarError, ValueError, TypeError, KeyError, AttributeError) as error:
        log.warning("%s is damaged (%s), so what it held is made anew", storage.url_of(name), error)
        return []
    return parts


def _parts(name: str, outcomes: bytes, at: int) -> list[Part]:
    """name: of the file; at: where the first scene's files begin."""
    parts = []
    for outcome in json.loads(outcomes):
        failure = Failure(**outcome["failure"]) if outcome["failure"] else None
        files = tuple((one, length, crc) for one, length, crc in outcome["files"])
        part = Part(outcome["scene_id"], outcome["rows"], failure, files)
        parts.append(replace(part, content=Span(name, at, part.size)))
        at += part.size
    return parts

"""What a model on disk holds: a hash over every byte, read once.

Hashing a large base takes a while, so the hash of each file is remembered in the user's cache folder, by what changes
when the file does. That folder is a convenience: where it cannot be read or written, files are read again.

The driver asks, so nothing in this file imports torch.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from stages.telling import tell

BLOCK_BYTES = 1 << 22
JUST_NOW_S = 2.0
"""A file changed so recently may change again within the same tick of its filesystem's clock: it is not remembered."""
MOST_REMEMBERED = 20_000

Stamp = list[int]
"""Device, inode, size, and when content and inode changed (ns): a write cannot leave them all as they were."""


def content_hash(place: Path) -> str:
    """`sha256:` and 64 hex digits over the names and bytes of a file, or of all files of a folder and of what its
    links lead to. Hidden files and what is said of a model (`.md`) are not the model. Raises OSError where a file
    cannot be read.
    """
    files = [(place.name, place)] if place.is_file() else sorted(_files(place, "", ()))
    known = _remembered()
    digest, fresh = hashlib.sha256(), {}
    for name, file in files:
        key, stamp = os.path.realpath(file), _stamp(os.stat(file))
        entry = known.get(key)
        if entry is not None and entry[0] == stamp:
            found = entry[1]
        else:
            found = _hash(file)
            if _stamp(os.stat(file)) == stamp and time.time() - max(stamp[3:]) / 1e9 > JUST_NOW_S:
                fresh[key] = (stamp, found)
        digest.update(f"{name}\0{found}\n".encode())
    if fresh:
        _remember(fresh)
    return f"sha256:{digest.hexdigest()}"


def is_partial(identity: object) -> bool:
    """Whether this is what the first version recorded: a hash over the ends of files only."""
    return isinstance(identity, str) and identity.startswith("sha256:") and len(identity) == len("sha256:") + 32


def _files(folder: Path, prefix: str, above: tuple[str, ...]) -> Iterator[tuple[str, Path]]:
    """Name within the model, path. Links to folders are followed, but not into a folder that they lie in."""
    above = (*above, os.path.realpath(folder))
    for entry in folder.iterdir():
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            if os.path.realpath(entry) not in above:
                yield from _files(entry, f"{prefix}{entry.name}/", above)
        elif entry.is_file() and entry.suffix != ".md":
            yield f"{prefix}{entry.name}", entry


def _hash(file: Path) -> str:
    digest, size, done = hashlib.sha256(), file.stat().st_size, 0
    with file.open("rb", buffering=0) as stream:
        while block := stream.read(BLOCK_BYTES):
            digest.update(block)
            done += len(block)
            percent = 100 * done // max(size, done)
            tell(f"hashing {file.parent.name}/{file.name}, {percent} % of {-(-size // 10**6):,} MB")
    return digest.hexdigest()


def _stamp(status: os.stat_result) -> Stamp:
    return [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _store() -> Path:
    """Raises OSError where the user has no folder at all."""
    for folder in (os.environ.get("XDG_CACHE_HOME", ""), os.path.expanduser("~/.cache")):
        if os.path.isabs(folder):
            return Path(folder) / "unscene" / "hashes.json"
    raise OSError("no home")


def _remembered() -> dict[str, tuple[Stamp, str]]:
    try:
        found = json.loads(_store().read_text(encoding="utf-8"))
        return {str(key): ([int(part) for part in stamp], str(value)) for key, (stamp, value) in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _remember(fresh: dict[str, tuple[Stamp, str]]) -> None:
    """Adds to the store; of two that write at once one may lose its entries, and reads those files again."""
    kept = {key: entry for key, entry in _remembered().items() if key not in fresh} | fresh
    try:
        store = _store()
        part = store.with_name(f"{store.name}.{os.getpid()}.part")
        store.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(dict(list(kept.items())[-MOST_REMEMBERED:])), encoding="utf-8")
        os.replace(part, store)
    except OSError:
        return

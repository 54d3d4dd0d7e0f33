"""A file of a model under a URL, copied once to a machine for all its workers, and told while it comes.

torch.hub's download knows no bucket, and fsspec's caches write to the name that others read from. Here one process
holds a lock that the system lets go of when it dies, and the file appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from fsspec.core import url_to_fs

from schemas.errors import SpecError, StoreAway
from schemas.secrets import masked
from stages.models.place import ModelField
from stages.retrying import persistently
from stages.telling import tell
from stages.transient import why_unread

CHUNK_BYTES = 8 * 1024 * 1024
STALL_S = 180.0
"""Whoever downloads for the others and has got nothing for so long is waited for no longer."""
_LOOK_S = 0.5


def node_copy(url: str, field: ModelField) -> Path:
    """The copy of `url` on this machine, downloaded where no worker has done so yet. A reader sees the whole file or
    none. Raises SpecError where it cannot be had, StoreAway where its store does not answer."""
    target = copy_of(url)
    if target.exists():
        return target
    name = masked(url).rstrip("/").rsplit("/", 1)[-1]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _Turn(target, name):
            if not target.exists():  # another worker was first
                _download(url, target, name)
    except (SpecError, StoreAway, MemoryError):
        raise
    except Exception as error:  # every backend has its own classes
        what = why_unread(error)
        if isinstance(error, OSError) and str(error.filename or "").startswith(str(target.parent)):
            raise SpecError(
                f"{field}: {url} cannot be kept in {target.parent} of this machine ({what}); make room there, or set "
                "XDG_CACHE_HOME to a folder that can be written to"
            ) from error
        raise SpecError(f"{field}: {url}: download failed ({what}); check the URL") from error
    return target


def copy_of(url: str) -> Path:
    """Where the copy of a URL is kept, if it has been made: in `unscene` of XDG_CACHE_HOME, else of `~/.cache`."""
    name = hashlib.sha256(url.encode()).hexdigest()[:16] + "-" + url.rstrip("/").rsplit("/", 1)[-1]
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "unscene" / name


class _Turn:
    """Waits for whoever downloads the same file, says so, and goes on alone when that one has stalled."""

    def __init__(self, target: Path, name: str) -> None:
        self._target, self._name, self._lock = target, name, FileLock(f"{target}.lock")

    def __enter__(self) -> None:
        since, came = time.monotonic(), -1
        while True:
            with suppress(Timeout):
                self._lock.acquire(timeout=_LOOK_S)
                return
            if (now := _bytes_so_far(self._target)) != came:
                since, came = time.monotonic(), now
            stalled_s = time.monotonic() - since
            said = f"waiting for another worker on this machine to download {self._name}, {_megabytes(came)} so far"
            tell(said if stalled_s < 10 else f"{said}, and nothing more for {stalled_s:.0f} s")
            if stalled_s >= STALL_S:
                return  # two copies are no harm: each has a name of its own until it is whole

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def _download(url: str, target: Path, name: str) -> None:
    part = target.with_name(f"{target.name}.{uuid.uuid4().hex}.part")

    def copy() -> None:
        fs, path = url_to_fs(url)
        size: int | None = fs.info(path).get("size")
        came = 0
        with fs.open(path, "rb") as source, part.open("wb") as sink:
            while block := source.read(CHUNK_BYTES):
                sink.write(block)
                sink.flush()  # others look how far it is
                came += len(block)
                tell(f"downloading {name}, {_megabytes(came)}" + (f" of {_megabytes(size)}" if size else ""))
        if size is not None and came < size:
            raise ConnectionError(f"{masked(url)}: {came} of {size} bytes came")

    try:
        for left in _parts(target):  # of processes that were killed
            with suppress(OSError):
                if time.time() - left.stat().st_mtime > 3 * STALL_S:
                    left.unlink()
        persistently(copy, masked(url))
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def _parts(target: Path) -> list[Path]:
    return [file for file in target.parent.iterdir() if file.name.startswith(target.name) and file.suffix == ".part"]


def _bytes_so_far(target: Path) -> int:
    sizes: list[Any] = [0]
    for part in _parts(target):
        with suppress(OSError):
            sizes.append(part.stat().st_size)
    return int(max(sizes))


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f} MB"

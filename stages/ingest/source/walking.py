"""Every file under a folder, and what cannot be followed there. Links are followed, loops and dead ends are told."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stages.ingest.source.files import Root


@dataclass(frozen=True)
class Found:
    """A file, or (`trouble`) what is not one and why: (a few words to count by, a sentence).

    path: on the source's filesystem. stamp: changes when the file does, as far as its filesystem tells without reading
    it; None where it tells nothing. size: bytes, None where it is not known.
    """

    path: str
    stamp: str | None = None
    size: int | None = None
    trouble: tuple[str, str] | None = None


def walk(at: Root, folder: str) -> Iterator[Found]:
    """Everything below `folder`, to the bottom, in no particular order."""
    if at.local:
        yield from _walk_disk(folder, ())
        return
    for path, info in at.fs.find(folder, detail=True).items():
        yield of_info(path, info)


def look_at(at: Root, path: str) -> Found:
    """One path that is known to be there."""
    return _on_disk(path) if at.local else of_info(path, at.fs.info(path))


def of_info(path: str, info: dict[str, Any]) -> Found:
    """A file by what its filesystem says of it."""
    size = info.get("size")
    content = next((str(info[key]) for key in ("ETag", "etag", "md5Hash", "content_md5") if info.get(key)), None)
    times = ("LastModified", "last_modified", "mtime", "updated", "modified", "created", "date_time", "CRC")
    content = content or next((str(info[key]) for key in times if info.get(key)), None)
    return Found(path, None if content is None else f"{size}:{content}", None if size is None else int(size))


def _walk_disk(folder: str, above: tuple[tuple[int, int], ...]) -> Iterator[Found]:
    """above: device and inode of every folder on the way here, by which a loop is known."""
    try:
        at = os.stat(folder)
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        yield Found(folder, trouble=("folder that cannot be listed", f"{type(error).__name__}: {error.strerror}"))
        return
    here = (*above, (at.st_dev, at.st_ino))
    for entry in entries:
        found = _on_disk(entry.path)
        if found.trouble is not None or not entry.is_dir():
            yield found
        elif entry.is_symlink() and _identity(entry.path) in here:
            yield Found(entry.path, trouble=("link in a loop", f"leads back to {os.path.realpath(entry.path)}"))
        else:
            yield from _walk_disk(entry.path, here)


def _on_disk(path: str) -> Found:
    try:
        at = os.stat(path)
    except OSError as error:
        if os.path.islink(path):
            return Found(path, trouble=("link that leads nowhere", f"to {os.readlink(path)} ({error.strerror})"))
        return Found(path, trouble=("file that cannot be looked at", f"{type(error).__name__}: {error.strerror}"))
    try:
        path.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(path).decode("utf-8", "backslashreplace")
        return Found(shown, trouble=("name that is not UTF-8", "tables cannot hold it; rename the file"))
    if not stat.S_ISREG(at.st_mode) and not stat.S_ISDIR(at.st_mode):
        return Found(path, trouble=("no regular file", "a socket, a pipe or a device"))
    return Found(path, f"{at.st_size}:{at.st_mtime_ns}:{at.st_ctime_ns}", at.st_size)


def _identity(path: str) -> tuple[int, int]:
    at = os.stat(path)
    return at.st_dev, at.st_ino

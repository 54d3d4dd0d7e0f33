"""Every file under a folder, and what cannot be followed there. Links are followed, loops and dead ends are told."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from stages.ingest.source.files import Root
from stages.ingest.source.packed import Packed

_OF_CONTENT = ("ETag", "etag", "md5Hash", "content_md5", "md5", "sha256", "oid", "blob_id", "CRC")
_OF_TIME = (
    *("LastModified", "last_modified", "mtime", "updated", "modified", "modify", "last_write_time"),
    *("modificationTime", "created", "date_time"),
)
"""What filesystems call it: the most telling first."""
_NO_UTF_8 = ("name that is not UTF-8", "tables cannot hold it; rename the file")


@dataclass(frozen=True)
class Found:
    """A file, or (`trouble`) what is not one and why: (a few words to count by, a sentence).

    path: on the source's filesystem. stamp: changes when the file does, as far as its filesystem tells without reading
    it: its size at least. size: bytes, None where it is not known. elsewhere: whether a link brings it in from outside
    the source.
    """

    path: str
    stamp: str | None = None
    size: int | None = None
    trouble: tuple[str, str] | None = None
    elsewhere: bool = False


def packed(found: Iterable[Found] = ()) -> Packed[Found]:
    """Files by path."""
    return Packed(
        lambda file: (file.path, file.stamp, file.size, file.trouble, file.elsewhere),
        lambda row: Found(row[0], row[1], row[2], None if row[3] is None else (row[3][0], row[3][1]), row[4]),
        found,
    )


def walk(at: Root, folder: str, follow: bool = True) -> Iterator[Found]:
    """Everything below `folder`, to the bottom, in no particular order. Without `follow` a link to a folder outside is
    told as it stands, and nothing of the folder is looked at."""
    if at.local:
        yield from _Walk(folder, follow).below(folder)
        return
    for path, info in at.fs.find(folder, detail=True).items():
        yield of_info(path, info)


def look_at(at: Root, path: str, folder: str) -> Found:
    """One path that is known to be there. folder: of the source."""
    if not at.local:
        return of_info(path, at.fs.info(path))
    found = _on_disk(path)
    inside = found.trouble is not None or _is_within(os.path.realpath(folder), os.path.realpath(path))
    return found if inside else replace(found, elsewhere=True)


def _is_within(folder: str, path: str) -> bool:
    return os.path.commonpath([folder, path]) == folder


def of_info(path: str, info: dict[str, Any]) -> Found:
    """A file by what its filesystem says of it. Archives, too, hold names that are no UTF-8."""
    if shown_path(path) != path:
        return Found(shown_path(path), trouble=_NO_UTF_8)
    size = info.get("size")
    content = next((str(info[key]) for key in _OF_CONTENT + _OF_TIME if info.get(key)), "")
    return Found(path, f"{size}:{content}", None if size is None else int(size))


class _Walk:
    """One walk over folders of the disk. Each real folder is gone through once, by whatever names it is reached."""

    def __init__(self, source: str, follow: bool) -> None:
        self._source, self._follow = os.path.realpath(source), follow
        self._seen: dict[tuple[int, int], str] = {}

    def below(self, folder: str, elsewhere: bool = False) -> Iterator[Found]:
        """elsewhere: whether links led out of the source on the way to this folder."""
        try:
            at = os.stat(folder)
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            yield Found(folder, trouble=("folder that cannot be listed", f"{type(error).__name__}: {error.strerror}"))
            return
        self._seen[at.st_dev, at.st_ino] = folder
        for entry in entries:
            found = _on_disk(entry.path)
            link = entry.is_symlink()
            out = elsewhere or (link and not _is_within(self._source, os.path.realpath(entry.path)))
            if found.trouble is not None or not entry.is_dir() or (out and not self._follow):
                yield replace(found, elsewhere=True) if out and found.trouble is None else found
            elif link and (why := self._read_elsewhere(entry.path)):
                yield Found(shown_path(entry.path), trouble=why)
            else:
                yield from self.below(entry.path, out)

    def _read_elsewhere(self, link: str) -> tuple[str, str] | None:
        """Why what a link leads to is not gone through under its name, if it is not."""
        target, at = os.path.realpath(link), os.stat(link)
        within = os.path.commonpath([self._source, target])
        if within == target:
            return "link in a loop", f"leads back to {shown_path(target)}"
        if within == self._source or (at.st_dev, at.st_ino) in self._seen:
            return "link to a folder that is read already", f"as {shown_path(target)}"
        return None


def shown_path(path: str) -> str:
    """A path that tables can hold."""
    try:
        return os.fsencode(path).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half a character that stands for no byte
        return path.encode("utf-8", "backslashreplace").decode("utf-8")


def _on_disk(path: str) -> Found:
    if shown_path(path) != path:
        return Found(shown_path(path), trouble=_NO_UTF_8)
    try:
        at = os.stat(path)
    except OSError as error:
        if os.path.islink(path):
            where = f"to {shown_path(os.readlink(path))} ({error.strerror})"
            return Found(path, trouble=("link that leads nowhere", where))
        return Found(path, trouble=("file that cannot be looked at", f"{type(error).__name__}: {error.strerror}"))
    if not stat.S_ISREG(at.st_mode) and not stat.S_ISDIR(at.st_mode):
        return Found(path, trouble=("no regular file", "a socket, a pipe or a device"))
    return Found(path, f"{at.st_size}:{at.st_mtime_ns}:{at.st_ctime_ns}", at.st_size)

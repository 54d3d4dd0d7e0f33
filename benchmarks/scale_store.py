"""A store that counts: an object store in a file of its own, seen through fsspec as `scale://`.

What a call costs in requests is what s3fs sends for it. Contents lie in one file that has no name, so that they are
bytes of nobody's memory; of the store itself only its index is held.
"""

from __future__ import annotations

import io
import os
import posixpath
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any, ClassVar

import fsspec
from fsspec.spec import AbstractFileSystem

from benchmarks.scale_clock import Clock
from pipeline.storage.pieces import Span

ANSWER_S = 0.03
"""Between a request and its answer."""
LISTED = 1000
"""Names in one answer to a LIST, and in one bulk DELETE."""
_THREADS = 16
_BLOCK = 50 * 2**20
"""s3fs writes a longer stream in parts of so many bytes."""


class Contents:
    """Bytes in a file that has no name; room that was given back is used again."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115
        self._end = 0
        self._free: dict[int, list[int]] = defaultdict(list)

    def keep(self, data: bytes) -> tuple[int, int]:
        """Returns offset and size."""
        room = _room(len(data))
        offset = self._free[room].pop() if self._free[room] else self._end
        if offset == self._end:
            self._end += room
        os.pwrite(self._file.fileno(), data, offset)
        return offset, len(data)

    def read(self, offset: int, size: int) -> bytes:
        return os.pread(self._file.fileno(), size, offset)

    def forget(self, offset: int, size: int) -> None:
        self._free[_room(size)].append(offset)


def _room(size: int) -> int:
    return max(512, 1 << (size - 1).bit_length()) if size < 2**20 else -(-size // 2**20) * 2**20


class Store:
    """Files by folder, and what was asked for. requests: (who, kind) -> how many; moved: (who, `up` or `down`) ->
    bytes."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.contents = Contents()
        self.files: dict[str, dict[str, tuple[int, int]]] = {}
        self.below: dict[str, set[str]] = defaultdict(set)
        self.requests: Counter[tuple[str, str]] = Counter()
        self.moved: Counter[tuple[str, str]] = Counter()

    def ask(self, kind: str, times: int = 1) -> None:
        self.requests[self.clock.who, kind] += times
        self.clock.wait(times * ANSWER_S / (_THREADS if self.clock.threaded else 1))

    def put(self, path: str, data: bytes) -> None:
        self.moved[self.clock.who, "up"] += len(data)
        self.place(path, data)

    def place(self, path: str, data: bytes) -> None:
        """Puts a file there that has been sent, or made by the store."""
        self._place(*posixpath.split(path), self.contents.keep(data))

    def get(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        offset, size = self.find(path)
        start = max(0, start + size if start < 0 else start)
        end = size if end is None else min(size, end)
        self.moved[self.clock.who, "down"] += max(0, end - start)
        return self.contents.read(offset + start, max(0, end - start))

    def copy(self, source: str, target: str) -> None:
        """Inside the store: no bytes pass through us."""
        self.place(target, self.contents.read(*self.find(source)))

    def find(self, path: str) -> tuple[int, int]:
        folder, name = posixpath.split(path)
        try:
            return self.files[folder][name]
        except KeyError:
            raise FileNotFoundError(path) from None

    def delete(self, path: str) -> None:
        folder, name = posixpath.split(path)
        self.contents.forget(*self.find(path))
        del self.files[folder][name]
        while folder and not self.files.get(folder) and not self.below.get(folder):
            self.files.pop(folder, None)
            self.below.pop(folder, None)
            folder, child = posixpath.split(folder)
            self.below[folder].discard(child)

    def under(self, folder: str) -> Iterator[str]:
        """Paths of all files below, at any depth."""
        yield from (f"{folder}/{name}" for name in self.files.get(folder, ()))
        for child in list(self.below.get(folder, ())):
            yield from self.under(f"{folder}/{child}")

    def _place(self, folder: str, name: str, place: tuple[int, int]) -> None:
        files = self.files.get(folder)
        if files is None:
            files = self.files[folder] = {}
            above = folder
            while above:
                above, child = posixpath.split(above)
                if child in self.below[above]:
                    break
                self.below[above].add(child)
        if name in files:
            self.contents.forget(*files[name])
        files[name] = place


class ScaleFileSystem(AbstractFileSystem):
    """The store as fsspec sees it, with the requests that s3fs 2026 sends. store: the one there is."""

    protocol = "scale"
    cachable = True
    store: ClassVar[Store]

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        path, store = self._strip_protocol(path), self.store
        files, folders = store.files.get(path, {}), store.below.get(path, ())
        store.ask("LIST", max(1, -(-(len(files) + len(folders)) // LISTED)))
        if not files and not folders:
            raise FileNotFoundError(path)
        found = [_entry(f"{path}/{name}", "file", size) for name, (_, size) in list(files.items())]
        found += [_entry(f"{path}/{name}", "directory", 0) for name in list(folders)]
        return found if detail else [entry["name"] for entry in found]

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        path = self._strip_protocol(path)
        self.store.ask("HEAD")
        try:
            return _entry(path, "file", self.store.find(path)[1])
        except FileNotFoundError:
            self.store.ask("LIST")  # is it a folder
            if path in self.store.files or self.store.below.get(path):
                return _entry(path, "directory", 0)
            raise

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        self.store.ask("GET")
        return self.store.get(self._strip_protocol(path), start or 0, end)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        path = self._strip_protocol(path)
        self.store.ask("PUT")
        if mode == "create":
            folder, name = posixpath.split(path)
            if name in self.store.files.get(folder, {}):
                raise FileExistsError(path)
        self.store.put(path, bytes(value))

    def cp_file(self, path1: str, path2: str, **kwargs: Any) -> None:
        self.info(path1)
        self.store.ask("COPY")
        self.store.copy(self._strip_protocol(path1), self._strip_protocol(path2))

    def rm_file(self, path: str) -> None:
        self.store.ask("DELETE")
        self.store.delete(self._strip_protocol(path))

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        path = self._strip_protocol(path)
        found = list(self.store.under(path))
        self.store.ask("LIST", max(1, -(-len(found) // LISTED)))
        self.info(path)
        self.store.ask("DELETE", -(-len(found) // LISTED))
        for one in found:
            self.store.delete(one)

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> io.BytesIO:
        return _Upload(self.store, self._strip_protocol(path))


class _Upload(io.BytesIO):
    """A file that is written in one go, or in parts where it is long."""

    def __init__(self, store: Store, path: str) -> None:
        super().__init__()
        self._store, self._path = store, path

    def close(self) -> None:
        if not self.closed:
            data = self.getvalue()
            parts = -(-len(data) // _BLOCK)
            self._store.ask("PUT", 1 if parts <= 1 else parts + 2)
            self._store.put(self._path, data)
        super().close()

    def discard(self) -> None:
        super().close()


class Parts:
    """An upload in parts, which the store copies from files that it has (`pipeline/storage/multipart.py`)."""

    def __init__(self, store: Store, path: str) -> None:
        self._store, self._path, self._data = store, path, bytearray()
        store.ask("PUT")

    def send(self, data: bytes) -> None:
        self._store.ask("PUT")
        self._store.moved[self._store.clock.who, "up"] += len(data)
        self._data += data

    def copy(self, span: Span) -> None:
        self._store.ask("COPY")
        offset, _ = self._store.find(span.path)
        self._data += self._store.contents.read(offset + span.start, span.length)

    def finish(self, size: int) -> None:
        self._store.ask("PUT")
        self._store.ask("LIST")
        assert len(self._data) == size
        self._store.place(self._path, bytes(self._data))

    def discard(self) -> None:
        self._store.ask("DELETE")


def _entry(path: str, kind: str, size: int) -> dict[str, Any]:
    return {"name": path, "type": kind, "size": size}


def new_store(clock: Clock) -> Store:
    """An empty store under `scale://`, in place of the one before."""
    ScaleFileSystem.store = store = Store(clock)
    fsspec.register_implementation("scale", ScaleFileSystem, clobber=True)
    return store

"""The files of the source on any fsspec filesystem: where they are, and their bytes within a limit."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

from fsspec.core import has_magic, url_to_fs
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import get_protocol

from schemas.errors import StoreAway
from schemas.job import Source
from schemas.secrets import is_masked, masked_address
from stages.ingest.faults import FileTooLarge, FileUnreadable
from stages.ingest.source.hearing import all_heard
from stages.retrying import persistently
from stages.transient import comes_of_network_failure, refusal, why_unread

Found = TypeVar("Found")


@dataclass(frozen=True)
class Root:
    """What `source.uri` opens: its filesystem, and the path of `source.uri` on it.

    An address that a person types may chain filesystems by `::` and hold a pattern; the name of a file that lies on
    this filesystem may hold the same signs and means itself. So the two are told apart here, once.
    """

    fs: Any
    path: str
    uri: str

    @property
    def local(self) -> bool:
        return isinstance(self.fs, LocalFileSystem)

    def url_of(self, path: str) -> str:
        """The address of a file there, which `path_of` takes apart again; plain absolute paths stay plain.

        The credentials of `source.uri` are not in it, as it goes into tables and messages: `path_of` puts them back.
        """
        url = self._url_of(path)
        told = masked_address(url)
        return told if told == url or self.path_of(told) == path else url

    def _url_of(self, path: str) -> str:
        inner, chain, outer = self.uri.partition("::")
        if self.local:
            return path
        if not chain:
            return str(self.fs.unstrip_protocol(path))
        if "://" in inner:  # zip://*.png::s3://bucket/a.zip
            return f"{inner.split('://')[0]}://{path}::{outer}"
        return f"{inner}::{get_protocol(outer)}://{path}"  # simplecache::s3://bucket

    def path_of(self, url: str) -> str | None:
        """The path of an address that `url_of` made; None for the address of something else."""
        if self.local:
            return url if os.path.isabs(url) else None
        url = self._with_credentials(url)
        inner, chain, outer = self.uri.partition("::")
        if not chain:
            return str(self.fs._strip_protocol(url)) if get_protocol(url) == get_protocol(self.uri) else None
        if "://" in inner:
            before, after = f"{inner.split('://')[0]}://", f"::{outer}"
            return url[len(before) : -len(after)] if url.startswith(before) and url.endswith(after) else None
        before = f"{inner}::{get_protocol(outer)}://"
        return url[len(before) :] if url.startswith(before) else None

    def _with_credentials(self, url: str) -> str:
        outer = self.uri.rpartition("::")[2]
        for place in (self.uri, outer, "".join(re.findall(r"^\w[\w.+-]*://[^/]*", outer))):
            told = masked_address(place)
            if told != place and told in url:
                return url.replace(told, place)
        return url


def root(source: Source) -> Root:
    """Where the source is. Raises ValueError if the source is no pictures, and what the filesystem raises."""
    if source.uri is None:
        raise ValueError("source.uri is not set: this job has no pictures of its own")
    return Root(*_open(source.uri, source.storage_options), source.uri)


def locate(url: str, source: Source) -> tuple[Any, str]:
    """Filesystem and the path on it, of a file of the source or of anything else that the spec names.

    `source.storage_options` go to URLs of the same protocol as `source.uri`, so that a COCO JSON on the local disk is
    not opened with the options of a bucket.
    """
    if source.uri is not None:
        at = root(source)
        path = at.path_of(url)
        if path is not None:
            return at.fs, path
    same = source.uri is None or get_protocol(url) == get_protocol(source.uri)
    return _open(url, source.storage_options if same else {})


def root_of(source: Source) -> str:
    """The folder that picture paths are relative to: the folder itself, a glob's fixed part, a file's parent."""
    at = root(source)

    def found() -> str:
        with nullcontext() if at.local else all_heard(at.fs):
            if at.fs.isdir(at.path):
                return at.path.rstrip("/")
            if has_magic(at.path) and not at.fs.isfile(at.path):
                fixed = at.path.split("/")
                return "/".join(fixed[: next(i for i, part in enumerate(fixed) if has_magic(part))])
        return at.path.rpartition("/")[0]

    return persistently(found, called(at.uri, source))


def _open(url: str, options: dict[str, Any]) -> tuple[Any, str]:
    plain = url.removeprefix("file://")
    if os.path.exists(os.path.expanduser(plain)):  # whatever signs it holds
        return LocalFileSystem(), os.path.abspath(os.path.expanduser(plain))
    if is_masked(url) or is_masked(options):
        raise ValueError(f"{url} stands here without its credentials, which no record keeps")
    fs, path = url_to_fs(url, **options)
    return fs, path


def read_file(url: str, source: Source, max_bytes: int) -> bytes:
    """All bytes of one file.

    Raises FileTooLarge by the size that the filesystem states, before reading, and again if the file turns out
    longer; FileUnreadable when it is gone or its store fails over it alone; StoreAway when its store does not answer.
    """

    def read(fs: Any, path: str) -> bytes:
        size = fs.info(path).get("size")
        if size is not None and size > max_bytes:
            raise too_large(size, max_bytes, url)
        with fs.open(path, "rb") as file:
            data = bytes(file.read(max_bytes + 1))
        check_whole(len(data), size, url)
        return data

    try:
        data = from_store(url, source, read)
    except (FileTooLarge, StoreAway, MemoryError):  # none of them says anything of the file's bytes
        raise
    except Exception as error:  # every backend has its own classes
        transient = comes_of_network_failure(error)
        if isinstance(error, FileNotFoundError) and not transient and refusal(error) is None:
            raise FileUnreadable(f"the file is no longer there: {url}; put it back, or leave it out") from error
        raise FileUnreadable(
            f"cannot read {url}: {why_unread(error)}; check access, then retry", transient=transient
        ) from error
    if len(data) > max_bytes:
        raise too_large(len(data), max_bytes, url)
    return data


def from_store(url: str, source: Source, read: Callable[[Any, str], Found]) -> Found:
    """What `read` makes of a file's filesystem and path; once more where the network fails. It must be safe to repeat.

    Raises StoreAway where the store answers nothing at all for long; where it answers everything but this, after a
    minute, what `read` raised.
    """
    fs, path = locate(url, source)
    tried = False

    def asked() -> Found:
        nonlocal tried
        if tried:
            fs.invalidate_cache()  # a listing that is out of date promises bytes that never come
        tried = True
        return read(fs, path)

    def answers() -> bool:
        """Asks for a file that nobody has: a store that is there says so, or that it is forbidden."""
        try:
            fs.info(f"{path}.unscene-asks")
        except Exception as error:
            return not comes_of_network_failure(error)
        return True

    return persistently(asked, called(url, source), None if _on_disk(fs) else answers)


def called(url: str, source: Source) -> str:
    """What a person calls the store of a file that the spec names, or of the source: the field and the address."""
    if source.coco == url:
        return f"source.coco: {url}"
    return f"source.uri: {source.uri}" if source.uri is not None else url


def check_whole(read: int, size: int | None, url: str) -> None:
    """Raises ConnectionError where fewer bytes came than the file has: as if they were all, they would be another file.
    More may come, of a file that lies compressed."""
    if size is not None and read < size:
        raise ConnectionError(f"{url}: {read} of {size} bytes came")


def _on_disk(fs: Any) -> bool:
    return isinstance(fs, LocalFileSystem)


def too_large(size: int, max_bytes: int, url: str) -> FileTooLarge:
    """The error for a file of at least `size` bytes."""
    return FileTooLarge(
        f"{size} bytes or more, over ingest.max_bytes ({max_bytes}); raise it if the file is meant: {url}"
    )

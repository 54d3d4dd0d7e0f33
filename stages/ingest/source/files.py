"""The files of the source on any fsspec filesystem: where they are, and their bytes within a limit."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any

from fsspec.core import has_magic, url_to_fs
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import get_protocol

from schemas.job import Source
from schemas.secrets import is_masked, masked_address
from stages.ingest.faults import FileTooLarge, FileUnreadable
from stages.transient import comes_of_network_failure


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
    if at.fs.isdir(at.path):
        return at.path.rstrip("/")
    if has_magic(at.path) and not at.fs.isfile(at.path):
        fixed = at.path.split("/")
        return "/".join(fixed[: next(i for i, part in enumerate(fixed) if has_magic(part))])
    return at.path.rpartition("/")[0]


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
    longer; FileUnreadable when it is gone or the storage fails, transient when the network did.
    """
    try:
        fs, path = locate(url, source)
        size = fs.info(path).get("size")
        if size is not None and size > max_bytes:
            raise too_large(size, max_bytes, url)
        with fs.open(path, "rb") as file:
            data = bytes(file.read(max_bytes + 1))
    except FileTooLarge:
        raise
    except Exception as error:  # every backend has its own classes
        transient = comes_of_network_failure(error)
        if isinstance(error, FileNotFoundError) and not transient:
            raise FileUnreadable(f"the file is no longer there: {url}; put it back, or leave it out") from error
        raise FileUnreadable(
            f"cannot read {url}: {type(error).__name__}: {error}; check access, then retry", transient=transient
        ) from error
    if len(data) > max_bytes:
        raise too_large(len(data), max_bytes, url)
    return data


def too_large(size: int, max_bytes: int, url: str) -> FileTooLarge:
    """The error for a file of at least `size` bytes."""
    return FileTooLarge(
        f"{size} bytes or more, over ingest.max_bytes ({max_bytes}); raise it if the file is meant: {url}"
    )

"""The files of the source on any fsspec filesystem: where they are, and their bytes within a limit."""

from __future__ import annotations

from typing import Any

from fsspec.core import has_magic, url_to_fs
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import get_protocol

from schemas.job import Source
from stages.ingest.faults import FileTooLarge, FileUnreadable
from stages.transient import comes_of_network_failure


def locate(url: str, source: Source) -> tuple[Any, str]:
    """Filesystem and the path on it. `source.storage_options` go to URLs of the same protocol as `source.uri`, so
    that a COCO JSON on the local disk is not opened with the options of a bucket."""
    same = source.uri is None or get_protocol(url) == get_protocol(source.uri)
    fs, path = url_to_fs(url, **(source.storage_options if same else {}))
    return fs, path


def full_url(fs: Any, path: str, url: str) -> str:
    """`path` on `fs` as a URL that `locate` opens again; plain absolute paths stay plain. `url` is the address that
    led to `fs`: what follows its first `::` (the archive that holds the path) is kept."""
    inner, chain, outer = url.partition("::")
    if not chain:
        return path if isinstance(fs, LocalFileSystem) else str(fs.unstrip_protocol(path))
    if "://" in inner:  # zip://*.png::s3://bucket/a.zip
        return f"{inner.split('://')[0]}://{path}::{outer}"
    return f"{inner}::{get_protocol(outer)}://{path}"  # simplecache::s3://bucket


def root_of(source: Source) -> str:
    """The folder that picture paths are relative to: the folder itself, a glob's fixed part, a file's parent."""
    if source.uri is None:
        raise ValueError("source.uri is not set: this job has no pictures of its own")
    fs, path = locate(source.uri, source)
    if fs.isdir(path):
        return path.rstrip("/")
    if has_magic(path) and not fs.isfile(path):
        fixed = path.split("/")
        return "/".join(fixed[: next(i for i, part in enumerate(fixed) if has_magic(part))])
    return path.rpartition("/")[0]


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

"""Which files under `source.uri` are pictures. Runs in the driver: no torch, no decoding."""

from __future__ import annotations

import re
from typing import Any

from fsspec.core import has_magic

from schemas.errors import SpecError
from schemas.job import Source
from stages.ingest.source.files import full_url, locate

MASK_NAME = re.compile(r"(?:(?P<stem>.+)\.)?mask(?P<number>\d+)\.png", re.IGNORECASE)
"""A mask beside its picture: `mask0.png` in the picture's own folder, or `<stem>.mask0.png`."""


def list_pictures(source: Source) -> list[str]:
    """Full URLs (plain absolute paths on the local disk) of all pictures, sorted, at most `source.limit`.

    A folder is searched recursively for `source.suffixes` (any case); names that start with a dot, of files and of
    folders below the source, are not looked at. A glob or a single file is taken at its word, whatever its suffix.
    With `masks: beside` mask files are never pictures; nor is the COCO JSON.

    Raises SpecError when there is nothing to list, or no way to list it.
    """
    uri = source.uri
    if uri is None:
        raise SpecError("source.uri is not set: this job starts from source.handles and has no pictures of its own")
    try:
        fs, path = locate(uri, source)
        found, folder = _files(fs, path)
    except ImportError as error:
        raise SpecError(f"source.uri: {uri} needs a package that is not installed ({error}); install it") from error
    except Exception as error:  # every backend has its own classes for a missing bucket and for refused access
        raise SpecError(
            f"source.uri: cannot list {uri}: {type(error).__name__}: {error}; check the address and the "
            "credentials in the environment"
        ) from error
    if folder is not None:
        suffixes = tuple(suffix.lower() for suffix in source.suffixes)
        found = [file for file in found if file.lower().endswith(suffixes) and not _hidden(file, folder)]
    found = [file for file in found if not _is_annotation(fs, file, source)]
    if not found:
        wanted = f" (looked for {' '.join(source.suffixes)})" if folder is not None else ""
        raise SpecError(f"source.uri: no images under {uri}{wanted}; check the prefix or set source.suffixes")
    return sorted(full_url(fs, file, uri) for file in found)[: source.limit]


def is_mask_name(name: str) -> bool:
    """Whether `masks: beside` reads a file of this base name as a mask."""
    return MASK_NAME.fullmatch(name) is not None


def _files(fs: Any, path: str) -> tuple[list[str], str | None]:
    """Files that the address names, and the folder if it names one. A file whose own name holds `[` or `*` wins over
    the glob that it looks like."""
    if fs.isfile(path):
        return [path], None
    if fs.isdir(path):
        return list(fs.find(path)), path.rstrip("/")
    if has_magic(path):
        return [file for file, info in fs.glob(path, detail=True).items() if info["type"] == "file"], None
    return [], path


def _hidden(file: str, folder: str) -> bool:
    return any(part.startswith(".") for part in file.removeprefix(folder).split("/"))


def _is_annotation(fs: Any, file: str, source: Source) -> bool:
    if source.masks == "beside":
        return is_mask_name(file.rpartition("/")[2])
    if source.coco is not None:
        other, path = locate(source.coco, source)
        return type(other) is type(fs) and path == file
    return False

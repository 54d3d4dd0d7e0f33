"""What a source that is no folder turns out to be: pictures, or something that holds or names them.

A file is taken at its word whatever its suffix, so only what is plainly something else is refused: an archive, a list
of addresses, a web page. Each would end as one broken picture.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from fsspec.core import has_magic

from schemas.errors import SpecError

_HEAD_BYTES = 512  # a tar says so in byte 257

_BY_BYTES = [
    (re.compile(rb"PK(?:\x03\x04|\x05\x06)"), "zip"),
    (re.compile(rb".{257}ustar", re.DOTALL), "tar"),
    (re.compile(rb"\x1f\x8b"), "gz"),
    (re.compile(rb"7z\xbc\xaf|Rar!|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd"), "7z"),
    (re.compile(rb"PAR1|ARROW1"), "parquet"),
    (re.compile(rb"%PDF"), "pdf"),
    (re.compile(rb"\s*<(?:!doctype html|html)", re.IGNORECASE), "html"),
    (re.compile(rb"\s*(?:https?|s3|gs|gcs)://"), "txt"),
]
"""How files begin -> a suffix that such files have."""
_PICTURES = re.compile(rb"\xff\xd8\xff|\x89PNG|GIF8|II\*\0|MM\0\*|RIFF.{4}WEBP|.{4}ftyp(?:avi|mif|hei)", re.DOTALL)
_ARCHIVES = {"zip", "tar", "gz", "tgz", "bz2", "xz", "zst", "7z", "rar"}
_LISTS = {"txt", "csv", "tsv", "json", "jsonl", "ndjson", "parquet", "arrow", "xml", "yaml", "yml"}
_OTHERS = {"html", "htm", "pdf", "mp4", "mov", "avi", "mkv", "webm"}


def check_address(uri: str) -> None:
    """Raises SpecError for an archive's address in the wrong order: zip://photos.zip names a file inside nothing."""
    found = re.fullmatch(r"(zip|tar)://((?!.*::).+)", uri)
    if found:
        kind, path = found.groups()
        raise SpecError(f"source.uri: {uri} names no archive; write {kind}://::{path} for all that is in {path}")


def check_kind(fs: Any, found: Sequence[str], uri: str) -> None:
    """Raises SpecError if what `uri` names, one file or a glob's, holds or lists pictures and is none itself.

    A single file is known by its first bytes and then its name, files of a glob by their names.
    """
    suffixes = {_by_bytes(fs, found[0]) if len(found) == 1 else _suffix(file) for file in found}
    if suffixes and suffixes <= _ARCHIVES | _LISTS | _OTHERS:
        first = min(suffixes)
        remedy = _remedy(first, uri if not has_magic(uri) else "FILE")
        raise SpecError(
            f"source.uri: {uri} names {_what(first)}, and a source is a folder, a glob or a file of pictures; {remedy}"
        )


def holds(found: Sequence[str]) -> str:
    """What lies in a folder that has no pictures: `, which holds 12 .tar and 1 .json`."""
    counts = Counter(f".{_suffix(file)}" if _suffix(file) else "without a suffix" for file in found).most_common(3)
    return ", which holds " + " and ".join(f"{number} {suffix}" for suffix, number in counts) if counts else ""


def _by_bytes(fs: Any, file: str) -> str:
    try:
        with fs.open(file, "rb") as opened:
            head = bytes(opened.read(_HEAD_BYTES))
    except Exception:  # every backend has its own classes; ingest tells why a file cannot be read
        return ""
    if _PICTURES.match(head):
        return ""
    return next((_exact(suffix, file) for pattern, suffix in _BY_BYTES if pattern.match(head)), _suffix(file))


def _exact(suffix: str, file: str) -> str:
    return "tar" if suffix == "gz" and file.lower().endswith(".tar.gz") else suffix


def _suffix(file: str) -> str:
    name = PurePosixPath(file).name.lower()
    return "tar" if name.endswith(".tar.gz") else PurePosixPath(name).suffix.removeprefix(".")


def _what(suffix: str) -> str:
    if suffix in _ARCHIVES:
        return "an archive"
    if suffix in _LISTS:
        return "a list or a table"
    return {"html": "a web page", "htm": "a web page", "pdf": "a PDF"}.get(suffix, "a video")


def _remedy(suffix: str, file: str) -> str:
    if suffix in ("zip", "tar"):
        return f"name what is inside, {suffix}://::{file}, or unpack it"
    if suffix in _ARCHIVES:
        return "unpack it"
    if suffix in _LISTS:
        return "put the pictures that it names into a folder or bucket, and name that"
    return "name pictures themselves, such as FOLDER/*.jpg"

"""What the name of a file of the source says that it is."""

from __future__ import annotations

import re

from schemas.job import Source

MASK_NAME = re.compile(r"(?:(?P<stem>.+)\.)?mask(?P<number>\d+)\.png", re.IGNORECASE)
"""A mask beside its picture: `mask0.png` in the picture's own folder, or `<stem>.mask0.png`."""

_LIKE_A_MASK = (re.compile(r"(^|[^a-z])masks?([^a-z]|$)", re.IGNORECASE), re.compile(r"[a-z]Masks?([^a-z]|$)"))

THUMBNAILS = ("@eadir", "#recycle", "@recycle", "$recycle.bin", "__macosx", "ipod photo cache", "_thumb", "thumbs")
"""Folders (in lower case) in which servers and systems keep small copies and what was deleted."""
THUMBNAIL_NAME = re.compile(r"SYNOPHOTO_THUMB|SYNOFILE_THUMB|^Thumbs\.db$", re.IGNORECASE)

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".7z", ".rar")


def looks_like_a_mask(name: str) -> bool:
    """Whether a person who reads the name would take the file for a mask."""
    stem = name.rpartition(".")[0] or name
    return any(pattern.search(stem) for pattern in _LIKE_A_MASK)


def in_a_mask_folder(path: str, source: str) -> bool:
    """Whether a folder of masks below the source holds the file."""
    folders = path.removeprefix(source).lower().split("/")[:-1]
    return not {"mask", "masks"}.isdisjoint(folders)


def not_meant(relative: str) -> tuple[str, str | None] | None:
    """Why nobody means a file that lies at this path below the source, if nobody does."""
    *folders, name = relative.split("/")
    if any(part.startswith(".") for part in (*folders, name)):
        return "hidden", None
    if any(part.lower() in THUMBNAILS for part in folders) or THUMBNAIL_NAME.search(name):
        return "thumbnail", "its folder or name says that it is a small copy, or deleted"
    return None


def other_kind(name: str, source: Source) -> tuple[str, str | None] | None:
    """What a file is instead of a picture, by its suffix."""
    stem, dot, suffix = name.rpartition(".")
    bare = not dot or not stem
    wanted = tuple(suffix.lower() for suffix in source.suffixes)
    if name.lower().endswith(tuple(filter(None, wanted))) or (bare and "" in wanted):
        return None
    if name.lower().endswith(ARCHIVES):
        return "archive", "to read the pictures in it: source.uri: zip://::<its address>, or unpack it"
    if bare:
        return "no suffix", 'source.suffixes says which are read; "" in it means files without one'
    return f"suffix .{suffix.lower()}", "source.suffixes says which are read"

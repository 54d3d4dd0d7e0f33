"""What Unscene itself wrote below a source: it is no picture of the source, or every run would feed the next.

Addresses are compared as they stand: nothing is opened, so that a bucket which is closed to whoever asks is told apart
too.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from fsspec import get_filesystem_class
from fsspec.core import has_magic
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import get_protocol

from schemas.errors import SpecError
from schemas.job import Source

OUTPUT = "output of Unscene"
DATA_SET = "data set of Unscene"
NAME_IT = "no picture of it is taken; name its folder of pictures as source.uri where they are meant"
_RECORD, _PLAN, _MARKER = "run.json", "/_plan", "/.unscene"


def check_output(source: Source, output: str) -> None:
    """Raises SpecError where the job would write among its own pictures."""
    if source.uri is not None and lies_in(output, source.uri) and _place(output) != _place(source.uri):
        raise SpecError(
            f"output: {output} lies in source.uri ({source.uri}), where the next run would come upon the job's own "
            "files; name a folder beside it"
        )


def lies_in(url: str, uri: str) -> bool:
    """Whether an address is the folder that a source names, or below it. uri: may be a pattern, which reaches what lies
    below only by `**`."""
    place, source = _place(url), _place(uri)
    if place is None or source is None or place[0] is not source[0]:
        return False
    folder = source[1]
    if "**" in folder:
        parts = folder.split("/")
        folder = "/".join(parts[: next(number for number, part in enumerate(parts) if has_magic(part))])
    return f"{place[1]}/".startswith(f"{folder}/")


def folders_of_ours(paths: Iterable[str], source: str) -> dict[str, str]:
    """Folder strictly below `source` that a job or `unscene dataset` wrote -> which of the two; the outermost only.
    paths: of all files there."""
    records, plans, found = set(), set(), {}
    for path in paths:
        folder, _, name = path.rpartition("/")
        if name == _RECORD:
            records.add(folder)
        elif folder.endswith(_PLAN):
            plans.add(folder.removesuffix(_PLAN))
        elif folder.endswith(_MARKER):
            found[folder.removesuffix(_MARKER)] = DATA_SET
    found |= dict.fromkeys(records & plans, OUTPUT)
    found.pop(source, None)  # it was named on purpose
    return {one: what for one, what in sorted(found.items()) if not is_below(one, found)}


def is_below(path: str, folders: Iterable[str]) -> bool:
    """Whether a path lies in one of the folders."""
    return any(path.startswith(f"{folder}/") for folder in folders)


def _place(url: str) -> tuple[type, str] | None:
    """The kind of filesystem and the path on it; None of a chain, such as an archive's, in which nothing is written."""
    if "::" in url and not os.path.exists(url):
        return None
    try:
        kind = get_filesystem_class("file" if "::" in url else get_protocol(url))
    except (ImportError, ValueError):  # no such filesystem here: whoever opens it says so
        return None
    path = str(kind._strip_protocol(url)).rstrip("/")
    if issubclass(kind, LocalFileSystem) and not has_magic(path):
        path = os.path.realpath(path)
    return kind, path

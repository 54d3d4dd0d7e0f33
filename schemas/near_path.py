"""A path that is misspelt, and the one that is there."""

from __future__ import annotations

import difflib
from pathlib import Path


def near_path(name: str) -> str | None:
    """A file or folder that is there and whose path is almost `name`: misspelt in the first part that is not there, and
    right below it. None where there is none, or where `name` is no path on this machine's disks."""
    try:
        path = Path(name).expanduser()
    except RuntimeError:  # the home of nobody
        return None
    below: list[str] = []
    while not path.parent.is_dir() and path != path.parent:
        below.insert(0, path.name)
        path = path.parent
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return None
    near = difflib.get_close_matches(path.name.lower(), [found.lower() for found in names], n=1, cutoff=0.75)
    for found in names:
        if [found.lower()] == near and path.parent.joinpath(found, *below).exists():
            return str(path.parent.joinpath(found, *below))
    return None

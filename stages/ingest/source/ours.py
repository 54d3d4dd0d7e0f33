"""What Unscene itself wrote below a source: it is no picture of the source, or every run would feed the next.

It is known by the names of its files; nothing is opened.
"""

from __future__ import annotations

from collections.abc import Iterable

OUTPUT = "output of Unscene"
DATA_SET = "data set of Unscene"
NAME_IT = "no picture of it is taken; name its folder of pictures as source.uri where they are meant"
_RECORD, _PLAN, _MARKER = "run.json", "/_plan", "/.unscene"


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

"""The folder that a data set is written to: which OUTPUT it is of, by which options, and the numbers of its classes."""

from __future__ import annotations

import json
import os
import posixpath
from collections.abc import Iterable
from typing import Any

from pipeline.dataset.choices import Choices
from pipeline.dataset.classes import Classes
from pipeline.dataset.parts import OWN
from pipeline.storage.folder import Storage
from pipeline.storage.local import is_temporary
from schemas.errors import CommandError
from schemas.secrets import masked_address

_RECORD = f"{OWN}/dataset.json"
_VERSION = 1
CARD = "README.md"
"""What a data set that came to its end has."""


def check_apart(into: Storage, output: Storage) -> None:
    """Raises CommandError where the folder is that of a job, or lies in one, or is a file."""
    if into.local == output.local and f"{into.root}/".startswith(f"{output.root}/"):
        where = "is the OUTPUT itself" if into.root == output.root else "lies in the OUTPUT"
        raise CommandError(f"--into {into.url}: it {where}, which only the job writes to; name another folder")
    if into.exists("run.json"):
        raise CommandError(f"--into {into.url}: it is the output of a job (run.json); name another folder")
    if outer := _job_around(into):
        raise CommandError(
            f"--into {into.url}: it lies in {outer}, the output of a job, which alone writes to it; name another folder"
        )
    if into.local and into.fs.isfile(into.root):
        raise CommandError(f"--into {into.url}: a file of that name is there; name a folder")


def _job_around(into: Storage) -> str | None:
    """The nearest folder around it that a job writes to; None where there is none, or nobody may look."""
    folder = os.path.realpath(into.root) if into.local else into.root
    while folder != posixpath.dirname(folder):
        folder = posixpath.dirname(folder)
        try:
            if all(into.fs.exists(f"{folder}/{name}") for name in ("run.json", "_plan")):
                return folder if into.local else str(into.fs.unstrip_protocol(folder))
        except OSError:  # of a bucket that is open further down alone
            return None
    return None


def open_folder(into: Storage, output: Storage, choices: Choices, names: Iterable[str]) -> Classes:
    """Begins a data set, or goes on with one. names: of the classes that it has by now. Returns all of them with their
    numbers, which stay what they were.

    Raises CommandError where the folder holds something else, or another data set.
    """
    asked = {"output": masked_address(output.url), **choices.options()}
    known = _read(into)
    if known is None and not _begun(into) and (into.every_name("") or into.folders("")):
        raise CommandError(f"--into {into.url}: something else lies there; name a folder that is empty or new")
    if known is not None:
        changed = [f"{name} {_told(known.get(name))}" for name in asked if known.get(name) != asked[name]]
        if changed:
            raise CommandError(
                f"--into {into.url}: it holds a data set made with {', '.join(changed)}; type the same to go on with "
                "it, or name another folder"
            )
    if into.local:  # elsewhere no file is written beside its name
        _forget_temporaries(into, "")
    classes = Classes(tuple(known["classes"]) if known else ()).with_more(names)
    record = {"version": _VERSION, **asked, "classes": classes.names}
    if known is None or list(classes.names) != known["classes"]:
        into.write(_RECORD, json.dumps(record, indent=1).encode())
    return classes


def forget_told(into: Storage) -> None:
    """Removes what tells of all pictures of a data set that has none any more."""
    for name in (CARD, "croissant.json", "classes.json", "data.yaml", "polygon_iou.csv", "_info.json"):
        into.delete(name)


def forget_unnamed(into: Storage, pictures: bool) -> None:
    """Removes what attempts that ended in the middle have left, and have not given its name. pictures: whether there
    are any; where there never were, the options go too, so that others may be asked for."""
    if not pictures and not into.exists(CARD):
        into.delete_folder(OWN)
        return
    for name in into.every_name(OWN):
        if f"{OWN}/{name}" != _RECORD:
            into.delete(f"{OWN}/{name}")


def _begun(into: Storage) -> bool:
    """Whether nothing lies there but what an attempt left that was killed while it wrote its first file."""
    names = into.every_name(OWN)
    return bool(names) and all(map(is_temporary, names)) and into.folders("") == [OWN] and not into.every_name("")


def _forget_temporaries(into: Storage, folder: str) -> None:
    """Removes what a killed attempt wrote beside its name, in the folder and all that lie in it."""
    for name in into.every_name(folder):
        if is_temporary(name):
            into.delete(f"{folder}/{name}".lstrip("/"))
    for inner in into.folders(folder):
        _forget_temporaries(into, f"{folder}/{inner}".lstrip("/"))


def _read(into: Storage) -> dict[str, Any] | None:
    try:
        found = json.loads(into.read(_RECORD))
        if found["version"] != _VERSION or not isinstance(found["classes"], list):
            raise ValueError(f"of version {found['version']}")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise CommandError(
            f"--into {into.url}: {_RECORD} there cannot be read ({error}); name another folder, or delete that one"
        ) from None
    return dict(found)


def _told(value: Any) -> str:
    if isinstance(value, bool):  # an option that takes no value
        return "given" if value else "left out"
    return json.dumps(value, ensure_ascii=False) if value is not None else "left out"

"""`_driver.json`: how an Unscene that knew no epochs said that it was at work. It cannot see ours; we look for it."""

from __future__ import annotations

import json
import time
from contextlib import suppress

from pipeline.storage.folder import Storage
from schemas.errors import OutputError
from stages.telling import tell

NAME = "_driver.json"
_LOOK_S = 1.0


def clear_older(storage: Storage, expires_s: float) -> None:
    """Removes the file where nobody renews it, as after a kill; it was renewed every 20 s. Watches for `expires_s`, by
    a clock of its own, where there is one. Raises OutputError when its driver is at work."""
    found = _read(storage)
    if found is None:
        return
    tell(f"{_who(found)} was at work here, by an older Unscene; taking over unless heard of within {expires_s:.0f} s")
    end = time.monotonic() + expires_s
    while time.monotonic() < end:
        time.sleep(min(_LOOK_S, expires_s / 10))
        now = _read(storage)
        if now is None:
            return  # it has ended in order
        if now != found:
            raise OutputError(
                f"{storage.url}: a run of an older Unscene is at work here ({_who(now)}); wait, or stop it first"
            )
    storage.delete(NAME)


def _read(storage: Storage) -> bytes | None:
    with suppress(FileNotFoundError):
        return storage.read(NAME)
    return None


def _who(data: bytes) -> str:
    try:
        tree = json.loads(data)
        return f"process {int(tree['pid'])} on {tree['host']}"
    except (ValueError, TypeError, KeyError):
        return "a process that does not say"

"""One driver per OUTPUT: a small file that says who is at work, renewed while it is.

Commits keep two drivers from doing harm to what is committed; the lease keeps them from sweeping each other's
attempts and from doing the work twice. A driver that was killed leaves its lease behind: on the same machine its
process id tells, elsewhere the lease runs out.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.storage.folder import Storage
from schemas.errors import OutputError

NAME = "_driver.json"
RENEW_S = 20.0
EXPIRES_S = 90.0


@contextmanager
def held(storage: Storage) -> Iterator[None]:
    """Holds the lease of an OUTPUT. Raises OutputError while another driver holds it."""
    _check(storage)
    done = threading.Event()

    def renew() -> None:
        while not done.wait(RENEW_S):
            storage.write(NAME, _ours())

    storage.write(NAME, _ours())
    keeper = threading.Thread(target=renew, daemon=True, name="lease")
    keeper.start()
    try:
        yield
    finally:
        done.set()
        keeper.join(timeout=RENEW_S)
        storage.delete(NAME)


def _ours() -> bytes:
    return json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "at": time.time()}).encode()


def at_work(storage: Storage) -> dict[str, Any] | None:
    """Who holds the lease (`host`, `pid`, `at`: when last heard of), or None where nobody is at work."""
    try:
        holder: dict[str, Any] = json.loads(storage.read(NAME))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    here = holder["host"] == socket.gethostname()
    return holder if (_alive(holder["pid"]) if here else time.time() - holder["at"] <= EXPIRES_S) else None


def _check(storage: Storage) -> None:
    holder = at_work(storage)
    if holder is None or (holder["host"], holder["pid"]) == (socket.gethostname(), os.getpid()):
        return
    raise OutputError(
        f"{storage.url}: another run is at work here (process {holder['pid']} on {holder['host']}, last heard of "
        f"{time.time() - holder['at']:.0f} s ago); `unscene status` shows it; wait, or stop it first"
    )


def _alive(pid: int) -> bool:
    """Whether the process runs and is not a zombie or an unrelated later process with its number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    command = Path(f"/proc/{pid}/cmdline")
    return not command.parent.parent.joinpath("self").exists() or b"python" in _read(command)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""

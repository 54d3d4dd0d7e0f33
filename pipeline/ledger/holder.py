"""Who holds a lease: a process, known well enough to tell whether it still runs where it is on this very machine."""

from __future__ import annotations

import json
import os
import socket
import time
import uuid
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path


@dataclass(frozen=True)
class Holder:
    """What stands in the file of an epoch.

    token: of this one try to hold it. host, pid: for people. machine, born: which process it is, where numbers are
    given out anew and containers share a name. at: seconds since 1970 by the holder's own clock, for people alone.
    beats: how often it was renewed. released: the holder has ended in order.
    """

    token: str
    host: str
    pid: int
    machine: str
    born: str
    at: float
    beats: int = 0
    released: bool = False

    def renewed(self, released: bool = False) -> Holder:
        return replace(self, at=time.time(), beats=self.beats + 1, released=released)

    def gone(self) -> bool:
        """Whether its process is known to have ended: only this machine knows it of its own."""
        return self.machine == machine() and (found := _process(self.pid)) != _UNKNOWN and found[1] != self.born

    def at_work_here(self) -> bool:
        """Whether its process runs on this machine, and has not been stopped (SIGSTOP, a debugger)."""
        return self.machine == machine() and not self.gone() and _process(self.pid)[0] not in ("T", "t")

    def to_json(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @staticmethod
    def from_json(data: bytes) -> Holder:
        """Raises ValueError where it is none."""
        tree = json.loads(data)
        try:
            return Holder(**{field.name: tree[field.name] for field in fields(Holder)})
        except (KeyError, TypeError) as error:
            raise ValueError(f"no holder of a lease: {error}") from error


def ourselves() -> Holder:
    """This process, with a token of its own at each call."""
    pid = os.getpid()
    return Holder(uuid.uuid4().hex, socket.gethostname(), pid, machine(), _process(pid)[1], time.time())


def machine() -> str:
    """What tells this machine, since it was started, and this container on it from all others with the same name."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not Linux
        return socket.gethostname()


_UNKNOWN = ("", "")
_ENDED = ("", "ended")


def _process(pid: int) -> tuple[str, str]:
    """State of a process and when it was born, as the kernel writes them; `_UNKNOWN` where it is there and nobody
    says more; `_ENDED` where there is none, or what is left of one waits for its parent."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return _ENDED
    except PermissionError:
        pass
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return _UNKNOWN
    return _ENDED if state in ("Z", "X") else (state, rest[18])

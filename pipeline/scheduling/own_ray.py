"""A Ray of a job's own needs three things of the machine: a folder for its sockets, a token that keeps others out, and
time, of which Ray gives little to a machine that has other work."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import traceback
import uuid
from pathlib import Path
from typing import Any

import ray
from ray import _raylet
from ray._private.node import Node

from schemas.errors import ClusterError
from stages.telling import tell

_PATH_BYTES = 103 if sys.platform == "darwin" else 107
"""What the kernel takes as the path of a socket."""
_SESSION = "ray/session_2026-01-31_23-59-59_000000_{process}/sockets/plasma_store"
"""Ray's longest path of a socket, below its temporary folder."""

PATIENCE = {
    "RAY_gcs_server_port_wait_time_s": "60",
    "RAY_agent_register_timeout_ms": "60000",
    "RAY_raylet_start_wait_time_s": "60",
}
"""How long Ray waits for its processes to be there: of itself half of it, which importing Ray alone takes on a laptop
that is at work."""
STARTS = 3
"""The raylet gives each of its agents 15 s, which nothing lengthens, and ends; what was read from disk once is there
sooner the next time."""
_LATE = "imed out"
"""What Ray says of processes that did not come up in time, in either case."""


def settle() -> None:
    """Makes sure of the first two before Ray starts: by the environment, which Ray and its processes read.

    Raises ClusterError for a temporary folder where no socket can be.
    """
    os.environ["RAY_TMPDIR"] = _socket_folder()
    if not (os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH") or _has_token()):
        # Ray would write one to the home folder, which a container's user may not have. This one ends with the job.
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _socket_folder() -> str:
    """The temporary folder that Ray takes, made and tried: it holds Ray's sockets and logs."""
    name = next((name for name in ("RAY_TMPDIR", "TMPDIR") if os.environ.get(name)), "")
    folder = os.path.abspath(os.environ.get(name, "/tmp"))
    of = f"{folder} ({name})" if name else folder
    remedy = "set RAY_TMPDIR to a short folder on a local disk that you can write to"
    longest = os.path.join(folder, _SESSION.format(process=os.getpid()))
    if (size := len(os.fsencode(longest))) > _PATH_BYTES:
        raise ClusterError(
            f"cluster: the temporary folder {of} is too long for Ray: its sockets there have paths of {size} bytes, of "
            f"{_PATH_BYTES} that the system takes; {remedy}"
        )
    probe = os.path.join(folder, "ray", f"probe-{uuid.uuid4().hex}")
    try:
        os.makedirs(os.path.dirname(probe), exist_ok=True)
        with socket.socket(socket.AF_UNIX) as tried:
            tried.bind(probe)
        os.unlink(probe)
    except OSError as error:
        raise ClusterError(
            f"cluster: Ray cannot make its sockets in the temporary folder {of} ({error.strerror or error}); {remedy}"
        ) from None
    return folder


def _has_token() -> bool:
    """Whether the home folder holds a token that Ray will find there."""
    home = os.environ.get("HOME")
    try:
        return bool(home) and Path(str(home), ".ray", "auth_token").read_text().strip() != ""
    except (OSError, UnicodeDecodeError):
        return False


def start(**options: Any) -> None:
    """`ray.init` with the patience of above, unless the environment has another, and again where a process of Ray's did
    not come up in time. Raises what keeps Ray from starting."""
    for name, limit in PATIENCE.items():
        os.environ.setdefault(name, limit)
    if (limits := getattr(_raylet, "Config", None)) is not None:
        limits.initialize("")  # they were read from the environment when Ray was imported
    for again in range(1, STARTS + 1):
        try:
            ray.init(**options)
        except Exception as error:
            ray.shutdown()
            end_started(error)
            if again == STARTS or _LATE not in str(error):
                raise
            tell(f"starting Ray once more, as it did not come up in time ({again + 1} of {STARTS})")
        else:
            return


def end_started(error: Exception) -> None:
    """Ends the processes that a start which failed has left: nothing of Ray's but the error knows of them."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if isinstance(node := frame.f_locals.get("self"), Node):
            node.kill_all_processes(check_alive=False)
            return


def how_to_wait(error: Exception) -> str:
    """The remedy for a machine that is too busy for Ray, where it is that; else nothing."""
    if _LATE not in str(error):
        return ""
    return "; on a machine that has other work try again, or wait longer with RAY_raylet_start_wait_time_s=300"

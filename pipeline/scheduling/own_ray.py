"""A Ray of a job's own needs two things of the machine: a folder for its sockets, and a token that keeps others out."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import uuid
from pathlib import Path

from schemas.errors import ClusterError

_PATH_BYTES = 103 if sys.platform == "darwin" else 107
"""What the kernel takes as the path of a socket."""
_SESSION = "ray/session_2026-01-31_23-59-59_000000_{process}/sockets/plasma_store"
"""Ray's longest path of a socket, below its temporary folder."""


def settle() -> None:
    """Makes sure of both before Ray starts: by the environment, which Ray and its processes read.

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

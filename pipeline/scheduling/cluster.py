"""Joining a Ray cluster, or starting one inside this process."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.exceptions import AuthenticationError

from pipeline.scheduling.own_ray import how_to_wait, settle, start
from pipeline.scheduling.sent_code import sent_code
from pipeline.scheduling.token import held_token
from schemas.errors import ClusterError
from schemas.job import Cluster

_log = logging.getLogger(__name__)


@contextmanager
def connected(settings: Cluster) -> Iterator[None]:
    """A Ray to run on: the cluster at `settings.address`, the one already joined, or an embedded one (the default),
    which ends with this process.

    Raises ClusterError when the address does not answer, and when this machine has no place for an embedded one.
    """
    if ray.is_initialized():
        yield
        return
    options: dict[str, Any] = {"logging_level": logging.WARNING, "log_to_driver": False}
    if settings.address:
        address = _resolved(settings.address)
        answers = _knock(address)
        options["address"] = address
    else:
        settle()
        if named := os.environ.get("RAY_ADDRESS"):
            _log.warning("RAY_ADDRESS (%s) is not used: `cluster.address: auto` in the spec would join it", named)
        options |= {
            "address": "local",  # else Ray joins what RAY_ADDRESS names, or a Ray that it finds on this machine
            "include_dashboard": False,
            "num_cpus": settings.cpus,
            "num_gpus": settings.gpus,
            "object_store_memory": 200 * 2**20,
        }  # only small answers travel (invariant 8)
    try:
        with sent_code() as code:  # Ray has packed the folder when it has joined
            if settings.address:
                options["runtime_env"] = {"working_dir": str(code)}
                ray.init(**options)
            else:
                start(**options)
    except Exception as error:  # Ray has no class of its own for what keeps it from starting or joining
        ray.shutdown()
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1][:500]
        if isinstance(error, AuthenticationError):
            raise ClusterError(_no_token(settings.address)) from None
        if not settings.address:
            raise ClusterError(
                f"cluster: Ray did not start on this machine ({reason}); its log is under "
                f"ray/session_latest/logs in the temporary folder{how_to_wait(error)}"
            ) from None
        if answers:
            raise ClusterError(
                f"cluster.address: what answers at {address} is no Ray, or wants another token ({reason}); name Ray's "
                "own port, and copy ~/.ray/auth_token of its head to this machine"
            ) from None
        raise ClusterError(
            f"cluster.address: cannot reach Ray at {address} ({reason}); start it with `ray up "
            "ray_cluster.yaml`, or leave the address out to run on this machine"
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


def logs_folder() -> str:
    """Where the Ray that is joined keeps the logs of its processes on this machine, as far as it tells."""
    node = getattr(ray._private.worker, "_global_node", None)
    return str(node.get_logs_dir_path()) if node is not None else "ray/session_latest/logs of its temporary folder"


def _resolved(address: str) -> str:
    """`auto` is first of all what RAY_ADDRESS names, as in a job that Ray's Jobs API started."""
    named = os.environ.get("RAY_ADDRESS")
    return named if address == "auto" and named else address


def _knock(address: str) -> bool:
    """Ray itself waits for minutes at a door where nobody is; a few seconds tell. False: only Ray knows where it is.

    Raises ClusterError where nobody answers.
    """
    if address.startswith(("http://", "https://")):
        raise ClusterError(
            f"cluster.address: {address} is the URL of a dashboard; name Ray's own port, such as HOST:6379, or send "
            f"the job there with `unscene submit SPEC --address {address}`"
        )
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if not separator or not port.isdigit():
        return False  # `auto`
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_S).close()
    except (OSError, OverflowError, ValueError) as error:  # ValueError: a port such as `²`, a host such as `a..b`
        raise ClusterError(
            f"cluster.address: cannot reach Ray at {address} ({error}); start it with `ray up ray_cluster.yaml`, or "
            "leave the address out to run on this machine"
        ) from None
    return True


def _no_token(address: str | None) -> str:
    """The sentence for a token that Ray does not find or does not take."""
    held = held_token()
    if address is None:
        return f"cluster: Ray cannot start with {held}; put one there with `ray get-auth-token --generate`, or unset it"
    return (
        f"cluster.address: the Ray at {address} does not take {held}; give it the cluster's, which lies in "
        "~/.ray/auth_token of its head"
    )


_KNOCK_S = 10.0

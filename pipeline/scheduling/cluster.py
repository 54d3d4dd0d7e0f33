"""Joining a Ray cluster, or starting one inside this process."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from schemas.errors import ClusterError
from schemas.job import Cluster


@contextmanager
def connected(settings: Cluster) -> Iterator[None]:
    """A Ray to run on: the cluster at `settings.address`, the one already joined, or an embedded one (the default),
    which ends with this process.

    Raises ClusterError when the address does not answer.
    """
    if ray.is_initialized():
        yield
        return
    if settings.address:
        _knock(settings.address)
    options: dict[str, Any] = {"logging_level": logging.WARNING, "log_to_driver": False}
    if settings.address:
        options |= {
            "address": settings.address,
            "runtime_env": {"working_dir": str(Path(__file__).parents[2]), "excludes": EXCLUDES},
        }
    else:
        options |= {
            "include_dashboard": False,
            "num_cpus": settings.cpus,
            "num_gpus": settings.gpus,
            "object_store_memory": 200 * 2**20,
        }  # only small answers travel (invariant 8)
    try:
        ray.init(**options)
    except (ConnectionError, ValueError, RuntimeError, RayError) as error:
        reason = str(error).strip().splitlines()[-1][:500]
        if not settings.address:
            raise ClusterError(
                f"cluster: Ray did not start on this machine ({reason}); its log is under "
                "ray/session_latest/logs in the temporary folder"
            ) from None
        raise ClusterError(
            f"cluster.address: cannot reach Ray at {settings.address} ({reason}); start it with `ray up "
            "ray_cluster.yaml`, or leave the address out to run on this machine"
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Ray itself waits for minutes at a door where nobody is; a few seconds tell."""
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if not separator or not port.isdigit():
        return  # `auto`: Ray knows
    try:
        socket.create_connection((host, int(port)), timeout=_KNOCK_S).close()
    except OSError as error:
        raise ClusterError(
            f"cluster.address: cannot reach Ray at {address} ({error}); start it with `ray up ray_cluster.yaml`, or "
            "leave the address out to run on this machine"
        ) from None


_KNOCK_S = 10.0
EXCLUDES = [".venv", ".git", "out", "docs", "tests", "benchmarks", "build", "*.parquet"]
"""What a cluster does not need of the checkout."""

"""A Ray cluster of several machines that are processes here, for `benchmarks/chaos.py` to break."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parent.parent
MACHINES = 2
WORKER, PACKER, RAYLET = "ray::StageWorkerImpl", "ray::PackerImpl", "raylet"


class Machines:
    """A head that carries no stage's work, and `MACHINES` that do, while it is entered. Nothing but what it started is
    ever ended."""

    def __enter__(self) -> Machines:
        self._folder = tempfile.mkdtemp(prefix="c", dir="/tmp")  # Ray's sockets want a short path
        os.environ["RAY_TMPDIR"] = self._folder
        os.environ["RAY_AUTH_MODE"] = "disabled"
        os.environ.setdefault("RAY_raylet_start_wait_time_s", "180")  # this machine has more to do
        # Its workers are to find the pretended stage, which is no part of the code that a job sends.
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        from ray.cluster_utils import Cluster

        room = {"object_store_memory": 80 * 2**20}
        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **room})
        self.room = {"num_cpus": 3, **room}
        for _ in range(MACHINES):
            self.cluster.add_node(wait=False, **self.room)
        os.environ["RAY_ADDRESS"] = str(self.cluster.address)

    def end(self) -> None:
        """All at once, the head last of all to be missed."""
        started = psutil.Process().children(recursive=True)
        with contextlib.suppress(Exception):
            self.cluster.shutdown()
        for process in started:
            if self._is_rays(process):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()

    def _is_rays(self, process: psutil.Process) -> bool:
        with contextlib.suppress(psutil.Error):
            session = any(f"{self._folder}/ray/" in word for word in process.cmdline())
            return session or _title(process).startswith(("ray::", RAYLET, "gcs_server"))
        return False

    def lose_one(self, choice: int) -> None:
        """One machine with all that lives on it; another joins."""
        nodes = sorted(self.cluster.worker_nodes, key=lambda node: str(node.node_id))
        self.cluster.remove_node(nodes[choice % len(nodes)], allow_graceful=False)
        self.cluster.add_node(wait=False, **self.room)

    def processes(self, title: str) -> list[psutil.Process]:
        """Of our own those that are called so, in order; of raylets not the head's, with which its drivers end."""
        head = self.cluster.head_node.all_processes["raylet"][0].process.pid
        ours = psutil.Process().children(recursive=True)
        found = [process for process in ours if process.pid != head and title in _title(process)]
        return sorted(found, key=lambda process: process.pid)


def signalled(process: Any, number: signal.Signals) -> bool:
    """Whether it was still there to be sent it."""
    try:
        process.send_signal(number)
    except (psutil.NoSuchProcess, ProcessLookupError):
        return False
    return True


def _title(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        line: Sequence[str] = process.cmdline()
        return os.path.basename(line[0].split(" ")[0]) if line else ""
    return ""

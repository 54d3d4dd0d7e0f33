"""A Ray head of this machine's own, with dashboard and token, as `unscene submit` finds one."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil


@dataclass
class Head:
    """address: of its dashboard. env: in which clients know its token. process: `ray start`, which stays while the head
    does."""

    address: str
    env: dict[str, str] = field(repr=False)
    process: subprocess.Popen[str] | None = None

    def kill(self) -> None:
        """All of its processes at once, as when the machine is lost."""
        assert self.process is not None
        first = psutil.Process(self.process.pid)
        for each in [first, *first.children(recursive=True)]:
            try:
                each.kill()
            except psutil.NoSuchProcess:
                continue
        self.process.wait()


@contextmanager
def ray_head(cpus: int = 1, ports: list[int] | None = None) -> Iterator[Head]:
    """ports: four, of GCS, dashboard, agent and client; another head on the same ones is the same cluster come back.

    Its token is the same each time. Ray's sockets want a short path, so not pytest's own folder.
    """
    folder = Path(tempfile.mkdtemp(prefix="us"))
    (folder / "token").write_text("a" * 64)
    env = {
        **os.environ,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(folder / "token"),
        "RAY_USAGE_STATS_ENABLED": "0",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    env.pop("RAY_ADDRESS", None)
    gcs, dashboard, agent, client = ports or free_ports(4)
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
    command += [f"--port={gcs}", f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1"]
    command += ["--include-dashboard=true", f"--dashboard-agent-listen-port={agent}"]
    command += [f"--ray-client-server-port={client}", f"--num-cpus={cpus}", "--num-gpus=0"]
    command += [f"--temp-dir={folder / 'ray'}", "--object-store-memory=100000000", "--disable-usage-stats"]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        log = ""
        for line in process.stdout:
            log += line
            if "--block" in line:
                break
        else:
            raise AssertionError(f"ray start ended: {log}")
        yield Head(f"http://127.0.0.1:{dashboard}", env, process)
    finally:
        process.terminate()
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
        shutil.rmtree(folder, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports

"""Whoever is killed in the middle of training or choosing leaves no process that works on for nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import ROOT

POOL = """
import os, sys, time
from models.training.pools import spawned

def work(place):
    open(place, "w").write(str(os.getpid()))
    time.sleep(600)

if __name__ == "__main__":
    pool = spawned(2)
    waiting = [pool.submit(work, place) for place in sys.argv[1:]]
    waiting[0].result()
"""
CHILD = """
import subprocess, sys
code = '''
import os, sys, time
from models.training.pools import end_with_parent
end_with_parent()
open(sys.argv[1], "w").write(str(os.getpid()))
time.sleep(600)
'''
subprocess.run([sys.executable, "-c", code, *sys.argv[1:]])
"""


def alive(pid: int) -> bool:
    """Whether the process runs: an orphan that has ended may be left as a zombie where nobody reaps."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize(("code", "workers"), [(POOL, 2), (CHILD, 1)], ids=["pool", "launched"])
def test_a_worker_ends_with_the_process_that_started_it(code: str, workers: int, tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(code)
    places = [tmp_path / f"{number}.pid" for number in range(workers)]
    parent = subprocess.Popen(
        [sys.executable, str(script), *map(str, places)], env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    pids: list[int] = []
    try:
        wait_for(lambda: all(place.exists() and place.read_text() for place in places), 60)
        pids = [int(place.read_text()) for place in places]
        assert all(map(alive, pids))
        parent.kill()
        parent.wait()
        wait_for(lambda: not any(map(alive, pids)), 20)
    finally:
        parent.kill()
        for pid in filter(alive, pids):
            os.kill(pid, signal.SIGKILL)


def wait_for(told: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not told():
        assert time.monotonic() < end
        time.sleep(0.1)

"""A short night of `make chaos`: nothing that is ended, at whatever step, loses or doubles a scene."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.support import ROOT
from tests.support.s3_servers import need_s3


def test_a_short_night() -> None:
    """In a process of its own: a night leaves clusters and servers behind in the one that it ran in."""
    need_s3("moto")
    night = [sys.executable, "-m", "benchmarks.chaos", "--scenes", "12", "--batches", "1", "--faults", "12"]
    night += ["--least", "8", "--server", "moto"]
    # As a user types it: another test's Ray may have put this checkout on the path of every process before.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(night, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "scenes: lost 0, duplicated 0" in done.stdout
    assert "against the calm run byte by byte: 0 wrong" in done.stdout
    assert "     0  things left behind" in done.stdout

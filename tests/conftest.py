"""One embedded Ray for the whole session (a real one, since mocks are blind to how processes die), and which files come
first."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from stages import retrying
from tests.support import ROOT

FIRST = ("test_chaos.py", "test_main_job.py")
"""Of tests/whole_jobs what lasts minutes in processes of its own: others go on beside it."""
LAST = (
    "test_resume.py",
    "test_faults.py",
    "test_lost_node.py",
    "test_job_invariance.py",
    "test_part_by_part.py",
    "test_account.py",
    "test_watched.py",
)
"""The rest of them, the longest first: two processes take files in this order, and are to come to the end together."""

os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    """Below 0: before the others; above 0: after them."""
    folder, name = item.path.parent.name, item.path.name
    if folder != "whole_jobs":
        return 0
    return FIRST.index(name) - len(FIRST) if name in FIRST else 1 + LAST.index(name) if name in LAST else 0


@pytest.fixture(autouse=True)
def unknown_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test has the patience of one before it: a worker in this process makes it four minutes for good."""
    monkeypatch.setattr(retrying, "_stores", retrying._Stores())


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """Two logical cores, whatever the machine has, and this checkout on the workers' path."""
    import ray

    from pipeline.scheduling.own_ray import start

    os.environ["PYTHONPATH"] = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    start(
        address="local",  # else it joins a cluster that another test has on this machine, and ends with it
        num_cpus=2,
        num_gpus=0,
        include_dashboard=False,
        logging_level="WARNING",
        log_to_driver=False,
        object_store_memory=100 * 2**20,
    )
    yield
    ray.shutdown()

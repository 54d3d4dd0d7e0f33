"""One embedded Ray for the whole session; a real one, since mocks are blind to how processes die."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support import ROOT

os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """For `pytest -n 2 --dist loadgroup`: whole jobs one after another, for they are several processes each; else
    a file's tests together, which share its fixtures.
    """
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            whole = "local_ray" in getattr(item, "fixturenames", ())
            item.add_marker(pytest.mark.xdist_group("jobs" if whole else item.nodeid.partition("::")[0]))


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """Two logical cores, whatever the machine has, and this checkout on the workers' path."""
    import ray

    os.environ["PYTHONPATH"] = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    ray.init(
        num_cpus=2,
        num_gpus=0,
        include_dashboard=False,
        logging_level="WARNING",
        log_to_driver=False,
        object_store_memory=100 * 2**20,
    )
    yield
    ray.shutdown()

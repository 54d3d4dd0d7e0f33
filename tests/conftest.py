"""One embedded Ray for the whole session; a real one, since mocks are blind to how processes die."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support import ROOT

os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


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

"""Seconds of work on this machine, its device's included: for `unscene plan --probe`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from stages.models.device import pick_device


def seconds_of(work: Callable[[], Any]) -> float:
    """How long `work` takes, until the device has done what it was given."""
    _wait()
    began = time.perf_counter()
    work()
    _wait()
    return time.perf_counter() - began


def use_threads(count: int) -> None:
    """As many as a worker's math libraries have: one a core that it reserves."""
    torch.set_num_threads(max(1, count))


def device_count() -> int:
    """GPUs of this machine."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def device_name() -> str:
    """The GPU, or `CPU`."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"


def _wait() -> None:
    if pick_device().type == "cuda":
        torch.cuda.synchronize()

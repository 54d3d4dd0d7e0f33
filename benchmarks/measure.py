"""What the benchmarks share: clocks, peak memory, facts of the machine, medians, tables and JSON."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

GIB = float(1 << 30)


def clock(work: Callable[[], Any], device: torch.device) -> tuple[float, float]:
    """Wall seconds and this process's CPU seconds that `work` takes, its device work included."""
    wait(device)
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    wait(device)
    return time.perf_counter() - wall, time.process_time() - cpu


def wait(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def reset_peak(device: torch.device) -> None:
    """Starts a new high-water mark: CUDA's allocator, or the kernel's for this process (Linux).

    The allocator's cache stays: a step that follows is not to pay for asking the driver again.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(OSError):  # then the mark is the whole process's so far
            Path("/proc/self/clear_refs").write_text("5")


def peak_gib(device: torch.device) -> float:
    """CUDA: the most that was allocated since `reset_peak`; CPU: the largest resident set. Unit: GiB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / GIB
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / GIB
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB


def machine(device: torch.device) -> dict[str, Any]:
    """What the numbers depend on: hardware, load and versions."""
    import diffusers
    import transformers

    facts: dict[str, Any] = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name(),
        "cpu": processor_name(),
        "cpu_count": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_1min": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "transformers": transformers.__version__,
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    if device.type == "cuda":
        facts |= {"cuda": torch.version.cuda, "device_gib": torch.cuda.mem_get_info(device)[1] / GIB}
    return facts


def processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def medians(samples: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Key -> median over the rounds."""
    return {key: statistics.median(sample[key] for sample in samples) for key in samples[0]}


def spread(values: Iterable[float]) -> float:
    """Half of the range over the median: how much the rounds differ."""
    found = list(values)
    return (max(found) - min(found)) / 2 / statistics.median(found)


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table; floats are given three significant digits or, above a thousand, none after the point."""
    cells = [[cell if isinstance(cell, str) else number(cell) for cell in row] for row in [columns, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 or isinstance(value, int) else f"{value:.3g}"


def write_json(path: str | None, content: Mapping[str, Any]) -> None:
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(json.dumps(content, indent=1) + "\n")

"""`extract.batch: auto`: how many scenes fit side by side, found out by training made-up ones for a step.

Memory grows by the same amount with every scene, so one and two scenes tell the rest. A GPU is measured by its
allocator; on a CPU, where a process cannot tell its own peak, the tensors kept for the backward pass are counted.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor

from schemas.job import Extract
from stages.extract.method.latents import SceneLatents
from stages.extract.training.trainer import Trainer, TrainingScene
from stages.handles.scene_model import SceneModel
from stages.transient import is_out_of_memory

MOST = {"cuda": 32, "cpu": 16}
"""Where more scenes stop being faster (benchmarks/extract.py)."""
SHARE = {"cuda": 0.9, "cpu": 0.25}
"""Of the free memory; a machine's other cores run workers too."""
PEAK_OF_SAVED = 2.0
"""Peak of a step on a CPU as a multiple of what it keeps for the backward pass: gradients and scratch."""
CONCEPTS = 4


def pick_batch(model: SceneModel, settings: Extract, prior: Tensor | None) -> int:
    """Scenes that train side by side in the memory that is free now, at least 1. Leaves the model as it was."""
    device = model.base.device
    if settings.tuning == "full":
        return 1
    try:
        one, two = (_cost(model, settings, prior, scenes) for scenes in (1, 2))
        size = scenes_that_fit(one, two, SHARE[device.type] * free_memory(device), MOST[device.type])
        while device.type == "cuda" and size > 1 and not _fits(model, settings, prior, size):
            size = size * 3 // 4
    except Exception as error:
        if is_out_of_memory(error):
            return 1
        raise
    return size


def scenes_that_fit(one: float, two: float, free: float, most: int) -> int:
    """one, two: memory of a step with so many scenes; free: what there is. Unit: bytes."""
    each = max(two - one, 1.0)
    return max(1, min(most, int((free - (one - each)) // each)))


def free_memory(device: torch.device) -> float:
    """Unit: bytes. On a CPU what the machine or the container has left, whichever is less."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return float(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    found = [float(psutil.virtual_memory().available)]
    with suppress(OSError, ValueError):  # a container's limit: psutil tells the machine's memory alone
        limit = float(Path("/sys/fs/cgroup/memory.max").read_text())
        found.append(limit - float(Path("/sys/fs/cgroup/memory.current").read_text()))
    return max(min(found), 0.0)


def _cost(model: SceneModel, settings: Extract, prior: Tensor | None, scenes: int) -> float:
    """Memory of one step beyond what is held already. Unit: bytes."""
    device = model.base.device
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        _try(model, settings, prior, scenes)
        return float(torch.cuda.max_memory_allocated(device) - before)
    return PEAK_OF_SAVED * _saved_bytes(lambda: _try(model, settings, prior, scenes))


def _saved_bytes(work: Callable[[], None]) -> float:
    """Bytes of all tensors that `work` keeps for backward passes, each storage once."""
    seen: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    def back(tensor: Any) -> Any:
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, back):
        work()
    return float(sum(seen.values()))


def _fits(model: SceneModel, settings: Extract, prior: Tensor | None, scenes: int) -> bool:
    try:
        _try(model, settings, prior, scenes)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        torch.cuda.empty_cache()
        return False
    return True


def _try(model: SceneModel, settings: Extract, prior: Tensor | None, scenes: int) -> None:
    """One step of the phase that takes the most."""
    once = {
        "phase1": {"steps": 0 if settings.phase2.steps else 1},
        "phase2": {"steps": 1 if settings.phase2.steps else 0},
    }
    quick = Extract.model_validate(settings.model_dump() | once)
    Trainer(model, quick, 0, prior).train([made_up_scene(model, settings, i) for i in range(scenes)])


def made_up_scene(model: SceneModel, settings: Extract, number: int) -> TrainingScene:
    """A scene of four concepts that show nothing: it takes the time and the memory of any other."""
    base = model.base
    channels, height, width = base.latent_shape
    _, token = model.tokens.start(None, settings.init_word)
    a = model.recorder.side
    latents, side = torch.zeros(2, channels, height, width, device=base.device), base.side
    return TrainingScene(
        f"probe-{number}",
        [token] * CONCEPTS,
        SceneLatents(
            mean=latents,
            std=torch.ones_like(latents),
            masks=torch.ones(2, CONCEPTS, height, width),
            attention_masks=torch.ones(2, CONCEPTS, a, a),
            picture=torch.zeros(3, side, side),
            picture_masks=torch.ones(CONCEPTS, side, side),
        ),
    )

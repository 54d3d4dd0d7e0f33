"""Mid-scene checkpoints: the whole state of a training batch as one safetensors file in scratch space.

Scratch is a folder on the job's own storage, not on the worker's disk: the successor of a preempted worker is
on another machine. A checkpoint that cannot be written or read costs the time since the last one, nothing else.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time

import fsspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from stages.extract.training.batch import TrainedScene, TrainingBatch
from stages.retrying import persistently
from stages.shared_folder import write_whole
from stages.stage import Parting

log = logging.getLogger(__name__)


class CheckpointFile:
    """Where the checkpoints of one batch go, each over the last.

    folder: fsspec URL; name: of the file, different for whatever would give other numbers; every_s: seconds
    between two checkpoints; parting: may want one before. before_s: seconds that the batch had trained for when the
    state that was loaded was saved.
    """

    def __init__(self, folder: str, name: str, every_s: float, parting: Parting | None = None) -> None:
        self.fs, path = fsspec.url_to_fs(folder)
        self.folder, self.name, self.every_s = path.rstrip("/"), name, every_s
        self.parting = parting or Parting()
        self.began_at = self.saved_at = time.monotonic()
        self.before_s = 0.0

    @property
    def path(self) -> str:
        return f"{self.folder}/{self.name}"

    def due(self) -> bool:
        return self.parting.due or time.monotonic() - self.saved_at >= self.every_s

    def save(self, batch: TrainingBatch, phase: int, steps: int) -> None:
        """steps: how many of the phase are done."""
        assert batch.optimizer is not None
        scenes = [scene.scene_id for scene in batch.scenes]
        tensors = {f"parameter.{i}": p.detach() for i, p in enumerate(batch.optimizer.parameters)}
        tensors |= {f"optimizer.{name}": value for name, value in batch.optimizer.state().items()}
        tensors |= {"alive": batch.alive, "died_at": batch.optimizer.died_at}
        tensors |= {f"curve.{i}": curve for i, curve in enumerate(batch.curves().values())}
        tensors |= {
            f"draws.{i}.{purpose}": state
            for i, draws in enumerate(batch.draws)
            for purpose, state in draws.state().items()
        }
        about = {
            "phase": phase,
            "steps": steps,
            "order": batch.order,
            "scenes": scenes,
            "seconds": self.before_s + time.monotonic() - self.began_at,
            "ended": [[r.scene_id, r.diverged, r.withdrawn] for r in batch.ended.values()],
        }
        tensors["about"] = torch.frombuffer(bytearray(json.dumps(about).encode()), dtype=torch.uint8)
        data = save({name: t.cpu().contiguous() for name, t in tensors.items()})
        self.saved_at = time.monotonic()
        try:
            write_whole(self.fs, self.folder, self.name, data)
            self.parting.answer(True)
        except Exception as error:  # every storage has errors of its own
            log.warning("the checkpoint %s could not be written (%s); training goes on", self.path, error)
            self.parting.answer(False)

    def load(self, order: list[str]) -> Checkpoint | None:
        """The checkpoint of these scenes, in this order, if there is one that can be read."""
        try:
            data = persistently(lambda: self.fs.cat_file(self.path), self.fs.unstrip_protocol(self.folder))
        except FileNotFoundError:
            return None
        except Exception as error:  # every storage has errors of its own
            log.warning("the checkpoint %s cannot be fetched (%s); its scenes start anew", self.path, error)
            return None
        try:
            checkpoint = Checkpoint(data)
            if checkpoint.order != order:
                return None
            self.before_s = checkpoint.seconds
            return checkpoint
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            log.warning("the checkpoint %s cannot be read (%s); its scenes start anew", self.path, error)
            return None

    def clear(self) -> None:
        """The batch is done. What cannot be removed now is swept when the job ends."""
        with contextlib.suppress(Exception):
            self.fs.rm_file(self.path)


class Checkpoint:
    """What `CheckpointFile.save` wrote. phase, steps: where to go on; seconds: how long that took, 0 where an older
    Unscene did not write it down."""

    def __init__(self, data: bytes) -> None:
        tensors = load(data)
        about = json.loads(tensors.pop("about").numpy().tobytes())
        self.phase, self.steps = int(about["phase"]), int(about["steps"])
        self.seconds = float(about.get("seconds", 0.0))
        self.order: list[str] = about["order"]
        self.scenes: list[str] = about["scenes"]
        self.ended = [
            TrainedScene(
                name, torch.zeros(0), diverged=diverged and tuple(diverged), withdrawn=withdrawn and tuple(withdrawn)
            )
            for name, diverged, withdrawn in about["ended"]
        ]
        self._tensors = tensors

    def restore_scenes(self, batch: TrainingBatch) -> None:
        """Before the phase begins: who is still here."""
        curves = {name: self._tensors[f"curve.{i}"] for i, name in enumerate(self.scenes)}
        batch.resume(self.scenes, curves, self.ended)
        batch.alive = self._tensors["alive"].to(batch.alive.device)

    def restore_phase(self, batch: TrainingBatch) -> None:
        """After the phase began: parameters, moments and random streams."""
        assert batch.optimizer is not None
        for i, parameter in enumerate(batch.optimizer.parameters):
            parameter.data = self._tensors[f"parameter.{i}"].to(parameter.device, copy=True)
        batch.optimizer.died_at.copy_(self._tensors["died_at"])
        batch.optimizer.load_state(_below("optimizer.", self._tensors))
        for i, draws in enumerate(batch.draws):
            draws.load_state(_below(f"draws.{i}.", self._tensors))


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}

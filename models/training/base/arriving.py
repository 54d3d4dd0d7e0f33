"""Encoded scenes on the training device: those of a folder that is ready, or of one that is still being filled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.training.base import encoding
from models.training.base.encoding import Encoding, shard_path
from models.training.base.latents import Batch, EncodedScenes


def open_encoded(folder: Path, count: int, scaling_factor: float, device: str | torch.device) -> EncodedScenes:
    """The first `count` scenes of `encode_world`'s folder, rounded up to whole shards, on `device`."""
    return _opened_shards(folder, list(range(-(-count // encoding.SHARD))), scaling_factor, device)


class ArrivingScenes:
    """The scenes of a folder that is still being filled, up to `count`: those that are there when one looks.

    A shard is taken in its turn, so that what has been seen is the beginning of the world. making: what fills the
    folder, where that is this process's.
    """

    def __init__(
        self,
        folder: Path,
        count: int,
        scaling_factor: float,
        device: str | torch.device,
        making: Encoding | None = None,
    ) -> None:
        self._folder, self._shards, self._next = folder, -(-count // encoding.SHARD), 0
        self._factor, self._device, self._making = scaling_factor, device, making
        self._scenes: EncodedScenes | None = None
        self.look()

    @property
    def there(self) -> int:
        """Scenes, so far."""
        return self._next * encoding.SHARD

    def look(self) -> None:
        """Take what has come since. Raises what made a process of `making` fail."""
        if self._next == self._shards:
            return
        if self._making:
            self._making.check()
        fresh = []
        while self._next < self._shards and shard_path(self._folder, self._next).exists():
            fresh.append(self._next)
            self._next += 1
        if fresh:
            more = _opened_shards(self._folder, fresh, self._factor, self._device)
            self._scenes = more if self._scenes is None else self._scenes.joined(more)

    def draw(self, batch: int, noise: torch.Generator) -> Batch:
        """As `EncodedScenes.draw`. Raises RuntimeError before the first shard is there."""
        if self._scenes is None:
            raise RuntimeError(f"{self._folder} holds no scenes yet")
        return self._scenes.draw(batch, noise)


def _opened_shards(
    folder: Path, numbers: list[int], scaling_factor: float, device: str | torch.device
) -> EncodedScenes:
    shards = [np.load(shard_path(folder, shard)) for shard in numbers]

    def joined(name: str) -> Tensor:
        return torch.from_numpy(np.concatenate([shard[name] for shard in shards])).to(device)

    return EncodedScenes(*map(joined, ("moments", "covered", "token_ids", "parts")), scaling_factor)

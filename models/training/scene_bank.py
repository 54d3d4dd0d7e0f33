"""Scenes rendered ahead by a pool of processes, as pictures and label maps on the training device.

A label map says of each pixel which object is visible there: 0 for the ground, i for object i - 1 of the scene. It is
exact, because the visible masks of a scene are disjoint, and takes one byte a pixel whatever the number of objects.
"""

from __future__ import annotations

import mmap
import multiprocessing
from multiprocessing.pool import AsyncResult, Pool

import numpy as np
import torch
from numpy.typing import NDArray

from models.training.world import Scene, World

MOST_OBJECTS = 8
"""Of one scene; what draws prompts from label maps counts up to it."""
CHUNK = 256
"""Scenes a task of the pool renders."""


def label_map(scene: Scene) -> NDArray[np.uint8]:
    """[h, w]: 0 where the ground is visible, i where object i - 1 is. Raises ValueError beyond `MOST_OBJECTS`."""
    if len(scene.masks) > MOST_OBJECTS:
        raise ValueError(f"a scene of {len(scene.masks)} objects; raise MOST_OBJECTS ({MOST_OBJECTS})")
    labels = np.zeros(scene.image.shape[:2], np.uint8)
    for number, mask in enumerate(scene.masks):
        labels[mask] = number + 1
    return labels


class SceneBank:
    """Scenes 0 to n - 1 of a world, which fill up while the first of them are already in use.

    images: uint8 [n, 3, h, w]; labels: uint8 [n, h, w], both on `device`; the first `ready` of them are there. Workers
    are forks that write to memory shared with this process, so nothing is pickled; make the bank before the process
    touches a GPU, which forks do not survive. Without workers all is rendered here, as soon as it is asked for.
    """

    def __init__(self, world: World, count: int, device: str, workers: int = 0) -> None:
        height, width = world.settings.height, world.settings.width
        self.ready = 0
        self._world = world
        self._pixels, self._labels = _shared((count, height, width, 3)), _shared((count, height, width))
        self._chunks = [(first, min(first + CHUNK, count)) for first in range(0, count, CHUNK)]
        self._pool: Pool | None = None
        self._results: list[AsyncResult[None]] = []
        if workers:
            self._pool = multiprocessing.get_context("fork").Pool(workers, _adopt, (self,))
            self._results = [self._pool.apply_async(_render, chunk) for chunk in self._chunks]
        self.images = torch.empty((count, 3, height, width), dtype=torch.uint8, device=device)
        self.labels = torch.empty((count, height, width), dtype=torch.uint8, device=device)

    def collect(self, least: int) -> int:
        """Move what is rendered by now to the device, after waiting for the first `least` scenes; returns `ready`.

        Raises what a worker raised.
        """
        first = self.ready
        while self.ready < len(self._labels):
            chunk = self.ready // CHUNK
            if self.ready >= least and not (self._results and self._results[chunk].ready()):
                break
            if self._results:
                self._results[chunk].get()
            else:
                self.render(*self._chunks[chunk])
            self.ready = self._chunks[chunk][1]
        if self.ready > first:
            part = slice(first, self.ready)
            self.images[part] = torch.from_numpy(self._pixels[part]).to(self.images.device).permute(0, 3, 1, 2)
            self.labels[part] = torch.from_numpy(self._labels[part]).to(self.labels.device)
        return self.ready

    def render(self, first: int, stop: int) -> None:
        """Scenes `first` to `stop` - 1 into the shared memory."""
        for index in range(first, stop):
            scene = self._world.scene(index)
            self._pixels[index], self._labels[index] = scene.image, label_map(scene)

    def close(self) -> None:
        """Stop the workers, done or not."""
        if self._pool is not None:
            self._pool.terminate()
            self._pool.join()


_bank: SceneBank
"""In a worker: the bank that it renders for."""


def _adopt(bank: SceneBank) -> None:
    global _bank
    _bank = bank


def _render(first: int, stop: int) -> None:
    _bank.render(first, stop)


def _shared(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Zeros that forks of this process write to and this process reads."""
    return np.frombuffer(mmap.mmap(-1, int(np.prod(shape))), np.uint8).reshape(shape)

"""Scenes rendered once by all cores and kept in files, so that no training waits for a picture to be composed.

A pool holds scenes 0..n-1 of a world, mapped into memory: whoever opens it again with the same settings finds it ready.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.training.pools import spawned
from models.training.world.roster import Toy
from models.training.world.world import ToySettings, ToyWorld

MAX_OBJECTS = 3
_CHUNK = 500
_world: ToyWorld | None = None  # of this worker process


@dataclass(frozen=True)
class ScenePool:
    """n rendered scenes. images: uint8 [n, h, w, 3]; labels: uint8 [n, h, w], 0 for the ground and i + 1 where object i
    is visible; objects: int16 [n, 3], places in `roster`, -1 for none; backgrounds: int16 [n]."""

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    objects: NDArray[np.int16]
    backgrounds: NDArray[np.int16]
    roster: tuple[Toy, ...]

    def names(self, row: int) -> tuple[Toy, ...]:
        """The objects of scene `row`, in its order."""
        return tuple(self.roster[place] for place in self.objects[row] if place >= 0)


def render_pool(settings: ToySettings, count: int, folder: Path, workers: int | None = None) -> ScenePool:
    """The pool of the first `count` scenes of the world of `settings`, made in `folder` unless it is there.

    workers: processes; by default one a core.
    """
    identity = json.dumps({"count": count, "world": repr(settings)})
    done = folder / "pool.json"
    if not (done.exists() and done.read_text(encoding="utf-8") == identity):
        folder.mkdir(parents=True, exist_ok=True)
        done.unlink(missing_ok=True)
        size = (count, settings.height, settings.width)
        for name, shape, kind in (("images", (*size, 3), np.uint8), ("labels", size, np.uint8)):
            np.lib.format.open_memmap(folder / f"{name}.npy", "w+", kind, shape).flush()
        np.lib.format.open_memmap(folder / "facts.npy", "w+", np.int16, (count, 1 + MAX_OBJECTS)).flush()
        if workers == 1:  # here: to start a process takes longer than to compose a few scenes
            _open_world(settings)
            for first in range(0, count, _CHUNK):
                _render(folder, count, first)
            done.write_text(identity, encoding="utf-8")
            return open_pool(folder, settings.roster)
        with spawned(workers, _open_world, (settings,)) as executor:
            for _ in executor.map(partial(_render, folder, count), range(0, count, _CHUNK)):
                pass
        done.write_text(identity, encoding="utf-8")
    return open_pool(folder, settings.roster)


def open_pool(folder: Path, roster: Sequence[Toy]) -> ScenePool:
    """The pool that `render_pool` made in `folder`. What is written to its arrays stays out of the files: mapped so,
    torch takes them without a copy."""
    images, labels, facts = (np.load(folder / f"{name}.npy", mmap_mode="c") for name in ("images", "labels", "facts"))
    return ScenePool(images, labels, facts[:, 1:], facts[:, 0], tuple(roster))


def _open_world(settings: ToySettings) -> None:
    global _world
    _world = settings.open()


def _render(folder: Path, count: int, first: int) -> None:
    assert _world is not None
    place = {named: number for number, named in enumerate(_world.settings.roster)}
    images, labels, facts = (np.load(folder / f"{name}.npy", mmap_mode="r+") for name in ("images", "labels", "facts"))
    for row in range(first, min(first + _CHUNK, count)):
        scene = _world.scene(row)
        images[row] = scene.image
        labels[row] = sum((number * mask for number, mask in enumerate(scene.masks, 1)), np.zeros((), np.uint8))
        facts[row] = -1
        facts[row, : 1 + len(scene.objects)] = [scene.background, *(place[named] for named in scene.objects)]

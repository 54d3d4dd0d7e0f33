"""The worlds that the mask model learns from and is measured on, by the word of `--world`.

It needs shapes and no names: it learns from more variety than the base does, and from nothing that is held out.
"""

from __future__ import annotations

from pathlib import Path

from models.training.sprites import HELD_OUT, wide_roster
from models.training.toys import roster as toys
from models.training.toys.world import ToySettings
from models.training.world import WorldSettings, world_settings

TOY_COUNTS = {"one toy": (0.0, 1.0), "two": (0.0, 0.0, 1.0), "three": (0.0, 0.0, 0.0, 1.0)}
"""Worlds by how many toys their scenes have."""
_LESSONS = (0.03, 0.2, 0.42, 0.35)
"""Share of the scenes to train on with no toy, one, two and three. What is toy and what is ground is learned within
minutes, and from one toy alone; which toy a point asks for takes long, and is learned where there are several."""


def lessons(kind: str, sprites: Path | None, seed: int) -> WorldSettings | ToySettings:
    """Scenes to train on: everything that is not held out, turned, mirrored and overlapping; sprites also recoloured.
    sprites: their folder, which toys do without."""
    if kind == "toys":
        return ToySettings(toys.TRAINED, toy_counts=_LESSONS, overlaps=0.35, turns=15.0, mirrored=0.5, seed=seed)
    folder = _needed(sprites)
    return world_settings(kind, folder, wide_roster(folder), jitter=True, seed=seed)


def known(kind: str, sprites: Path | None, seed: int) -> WorldSettings | ToySettings:
    """Scenes of what was trained on, as the base's are: to choose thresholds on."""
    if kind == "toys":
        return ToySettings(toys.TRAINED, seed=seed)
    folder = _needed(sprites)
    return world_settings(kind, folder, wide_roster(folder), seed=seed)


def unseen(kind: str, sprites: Path | None, seed: int) -> WorldSettings | ToySettings:
    """Scenes of what is held out."""
    if kind == "toys":
        return ToySettings(toys.HELD_OUT, seed=seed)
    return world_settings(kind, _needed(sprites), HELD_OUT, seed=seed)


def unseen_toys_by_kind(seed: int) -> dict[str, ToySettings]:
    """Worlds of new combinations and of new silhouettes, with one, two or three toys."""
    groups = {"new combinations": toys.NEW_COMBINATIONS, "new silhouettes": toys.NEW_SHAPES}
    return {
        f"{group}, {count}": ToySettings(roster, toy_counts=odds, seed=seed)
        for group, roster in groups.items()
        for count, odds in TOY_COUNTS.items()
    }


def empty_places(seed: int) -> ToySettings:
    """Places without a toy, in which nothing is to be found."""
    return ToySettings(toy_counts=(1.0,), seed=seed)


def _needed(sprites: Path | None) -> Path:
    if sprites is None:
        raise ValueError("a world of sprites needs their folder: --sprites; --world toys needs none")
    return sprites

"""The worlds that the mask model learns from and is measured on.

It needs shapes and no names: it learns from more variety than the base does, and from nothing that is held out.
"""

from __future__ import annotations

from models.training.world.roster import HELD_OUT, NEW_COMBINATIONS, NEW_SHAPES, TRAINED
from models.training.world.world import ToySettings

COUNTS = {"one toy": (0.0, 1.0), "two": (0.0, 0.0, 1.0), "three": (0.0, 0.0, 0.0, 1.0)}
"""Worlds by how many toys their scenes have."""
_LESSONS = (0.03, 0.2, 0.42, 0.35)
"""Share of the scenes to train on with no toy, one, two and three. What is toy and what is ground is learned within
minutes, and from one toy alone; which toy a point asks for takes long, and is learned where there are several."""


def lessons(seed: int) -> ToySettings:
    """Scenes to train on: everything that is not held out, turned, mirrored and overlapping."""
    return ToySettings(TRAINED, toy_counts=_LESSONS, overlaps=0.35, turns=15.0, mirrored=0.5, seed=seed)


def known(seed: int) -> ToySettings:
    """Scenes of what was trained on, as the base's are: to choose thresholds on."""
    return ToySettings(TRAINED, seed=seed)


def unseen(seed: int) -> ToySettings:
    """Scenes of what is held out."""
    return ToySettings(HELD_OUT, seed=seed)


def unseen_by_kind(seed: int) -> dict[str, ToySettings]:
    """Worlds of new combinations and of new silhouettes, with one, two or three toys."""
    groups = {"new combinations": NEW_COMBINATIONS, "new silhouettes": NEW_SHAPES}
    return {
        f"{group}, {count}": ToySettings(roster, toy_counts=odds, seed=seed)
        for group, roster in groups.items()
        for count, odds in COUNTS.items()
    }


def empty_places(seed: int) -> ToySettings:
    """Places without a toy, in which nothing is to be found."""
    return ToySettings(toy_counts=(1.0,), seed=seed)

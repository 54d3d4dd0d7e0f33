"""The arms of `benchmarks.downstream`: where each of a training's pictures comes from.

An arm is shares of kinds of pictures. In all but the first every picture is flipped, cropped and recoloured too, and in
all that make pictures half of those that are seen are real.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.downstream_augment import Dice, jittered, pasted
from benchmarks.downstream_scenes import Labelled


@dataclass(frozen=True)
class Arm:
    """words: what it is called in tables. shares: kind of picture -> how often it is drawn. jitter: whether what is
    drawn is flipped, cropped and recoloured. paste: whether the pictures made by Copy-Paste are on empty real
    pictures of other places too. colour: in the plot."""

    words: str
    shares: Mapping[str, float]
    jitter: bool = True
    colour: str = "#8a8f98"


DRAWN = ("variations", "placed", "ti_m", "read")
"""Kinds of pictures that a job has drawn; `read`: the variations that a reader finds right."""
REAL, FRESH, ONTO_SCENES, ONTO_PLACES = "real", "fresh", "onto_scenes", "onto_places"
CUT, MOVED = "cut", "moved"
"""The other kinds: the real scenes, fresh real scenes, things of the real scenes pasted onto these, and onto empty real
places; and things that are cut out of variations, pasted onto the same places, and onto variations."""
ARMS: dict[str, Arm] = {
    "real": Arm("real scenes only", {REAL: 1.0}, jitter=False, colour="#8a8f98"),
    "jitter": Arm("flips, crops, colour jitter", {REAL: 1.0}, colour="#2e4057"),
    "paste": Arm("Copy-Paste, onto the real scenes", {REAL: 0.5, ONTO_SCENES: 0.5}, colour="#e0a030"),
    "paste_places": Arm("Copy-Paste, onto other real places", {REAL: 0.5, ONTO_PLACES: 0.5}, colour="#b5651d"),
    "variations": Arm("Unscene: variations", {REAL: 0.5, "variations": 0.5}, colour="#d1495b"),
    "moved": Arm("Unscene: variations, Copy-Paste among them", {REAL: 0.5, MOVED: 0.5}, colour="#e8548f"),
    "placed": Arm("Unscene: place", {REAL: 0.5, "placed": 0.5}, colour="#66a182"),
    "both": Arm("Unscene and Copy-Paste", {REAL: 0.5, "variations": 0.25, ONTO_PLACES: 0.25}, colour="#7b2d8e"),
    "ti_m": Arm("textual inversion: variations", {REAL: 0.5, "ti_m": 0.5}, colour="#00798c"),
    "read": Arm("Unscene: variations, checked by a reader", {REAL: 0.5, "read": 0.5}, colour="#f29ca3"),
    "cut": Arm("Copy-Paste of things cut out of variations", {REAL: 0.5, CUT: 0.5}, colour="#a05a62"),
    "fresh": Arm("as many fresh real scenes", {REAL: 0.5, FRESH: 0.5}, colour="#22262b"),
}
"""Arm -> what it is. The last three are no ways to train: they say what wrong pictures cost, what likeness and masks,
and what a perfect generator would give."""
PASTE, REFERENCES = "paste_places", ("real", "jitter", "paste_places")
"""The arm to beat, and those that the others are compared with."""


def drawn_kinds(arm: Arm) -> set[str]:
    """Those of `DRAWN` that an arm shows, whole or cut up."""
    return {"variations" if kind in (CUT, MOVED) else kind for kind in arm.shares if kind in (*DRAWN, CUT, MOVED)}


def drawer(arm: Arm, pools: Mapping[str, Sequence[Labelled]]) -> Callable[[Dice], Labelled]:
    """A function that draws the arm's next picture. pools: kind -> its pictures; `empty`: real places without things.

    A kind without a picture is left out, and its share goes to the others."""
    making = {
        ONTO_SCENES: lambda dice: pasted(_any(pools[REAL], dice), pools[REAL], dice),
        ONTO_PLACES: lambda dice: pasted(_any(pools["empty"], dice), pools[REAL], dice),
        CUT: lambda dice: pasted(_any(pools["empty"], dice), pools["variations"], dice),
        MOVED: lambda dice: pasted(_any(pools["variations"], dice), pools["variations"], dice),
    }
    needed = {kind: kind for kind in arm.shares} | {
        ONTO_SCENES: REAL,
        ONTO_PLACES: REAL,
        CUT: "variations",
        MOVED: "variations",
    }
    kinds = [kind for kind in arm.shares if pools.get(needed[kind])]
    weights = np.array([arm.shares[kind] for kind in kinds])

    def draw(dice: Dice) -> Labelled:
        kind = kinds[int(dice.choice(len(kinds), p=weights / weights.sum()))]
        shown = making[kind](dice) if kind in making else _any(pools[kind], dice)
        return jittered(shown, dice) if arm.jitter else shown

    return draw


def _any(pictures: Sequence[Labelled], dice: Dice) -> Labelled:
    return pictures[int(dice.integers(len(pictures)))]

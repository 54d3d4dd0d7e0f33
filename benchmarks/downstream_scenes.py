"""The scenes of `benchmarks.downstream`: two new toys a seed, a few real scenes of them, and fresh ones to test on.

One toy is a new combination of facts that the base knows, the other of a silhouette that it has never seen; they are of
one colour, so that it does not tell them apart. Everything that teaches is in six places; the test is in eight more
too, which neither a real scene nor a prompt nor a background of Copy-Paste shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.training.world.places.backgrounds import BACKGROUNDS
from models.training.world.roster import NEW_COMBINATIONS, NEW_SHAPES, TRAINED, Toy
from models.training.world.world import ToySettings

SHOWN = tuple(range(1, 7))
"""Indices of the places of all that teaches: beach, jungle, snow, street, pink fabric, wooden floor."""
COUNTS = (1, 2, 4)
"""Real scenes: what the arms are compared at."""
TESTS_A_PLACE = 3
EMPTY_A_PLACE = 3
"""Real pictures without a toy, a place: what Copy-Paste may paste onto."""
LEAST_AREA = 0.03
"""Of every toy, as a share of the picture."""
_WORLD = ToySettings().open()
_REAL, _TEST, _EMPTY, _FRESH = range(4)
"""Streams of a seed's draws."""


@dataclass(frozen=True)
class Labelled:
    """A picture and its things. image: uint8 [h, w, 3]; masks: bool [k, h, w]; classes: from 1, one a mask; scene: the
    number of the real scene that it is, or is of; -1: of none. place: index of its background, -1 where unknown."""

    image: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    classes: tuple[int, ...]
    scene: int = -1
    place: int = -1


def toys_of(seed: int) -> tuple[Toy, Toy]:
    """A new combination of known facts, and a toy of a new silhouette, of one colour."""
    dice = np.random.default_rng((seed, 71))
    first = NEW_COMBINATIONS[int(dice.integers(len(NEW_COMBINATIONS)))]
    alike = [toy for toy in NEW_SHAPES if toy.colour == first.colour]
    return first, alike[int(dice.integers(len(alike)))]


def real_scenes(seed: int, count: int = COUNTS[-1]) -> list[Labelled]:
    """So many scenes of both toys, all in different places; fewer are the first of more."""
    places = [SHOWN[i] for i in np.random.default_rng((seed, 72)).permutation(len(SHOWN))]
    return [_composed(seed, _REAL, number, (0, 1), places[number]) for number in range(count)]


def fresh_scenes(seed: int, count: int) -> list[Labelled]:
    """More real scenes in the shown places, of one toy or of both: what a perfect generator would draw."""
    return [_drawn(seed, _FRESH, number, SHOWN[number % len(SHOWN)]) for number in range(count)]


def judging_scenes(seed: int, each: int = TESTS_A_PLACE) -> list[Labelled]:
    """What is tested on: `each` in every one of the fourteen places, one toy or both, and in half of the scenes another
    toy, which the base and the start of the segmenter know, and which has no label."""
    return [
        _drawn(seed, _TEST, number, number % len(BACKGROUNDS), (number + number // len(BACKGROUNDS)) % 2 == 1)
        for number in range(each * len(BACKGROUNDS))
    ]


def empty_places(seed: int, each: int = EMPTY_A_PLACE) -> list[Labelled]:
    """Real pictures of the shown places with nothing on them."""
    return [_composed(seed, _EMPTY, number, (), SHOWN[number % len(SHOWN)]) for number in range(each * len(SHOWN))]


def _drawn(seed: int, stream: int, number: int, place: int, other: bool = False) -> Labelled:
    dice = np.random.default_rng((seed, 73, stream, number))
    which = tuple(int(i) for i in dice.permutation(2)[: dice.integers(1, 3)])
    others = [TRAINED[int(dice.integers(len(TRAINED)))]] if other else []
    return _composed(seed, stream, number, which, place, others)


def _composed(
    seed: int, stream: int, number: int, which: Sequence[int], place: int, others: Sequence[Toy] = ()
) -> Labelled:
    """Toys `which` of the seed on a place, each large enough to be seen, and others behind them."""
    toys = [*others, *(toys_of(seed)[i] for i in which)]
    for attempt in range(1000):
        rng = np.random.default_rng((seed, 74, stream, number, attempt))
        scene = _WORLD.compose(place, toys, rng)
        if all(mask.mean() >= LEAST_AREA for mask in scene.masks):
            return Labelled(scene.image, scene.masks[len(others) :], tuple(i + 1 for i in which), number, place)
    raise RuntimeError(f"scene {number} of seed {seed}: no placement found in 1,000 tries; lower LEAST_AREA")

"""The scenes of `benchmarks.downstream`: two new toys a seed, a few real scenes of them, and fresh ones to test on.

One toy is a new combination of facts that the base knows, the other of a silhouette that it has never seen; they are of
one colour, so that it does not tell them apart. Everything that teaches is in six places; the test is in eight more
too, which neither a real scene nor a prompt nor a background of Copy-Paste shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.training.reading.facts import right_facts
from models.training.world.places.backgrounds import BACKGROUNDS
from models.training.world.roster import NEW_COMBINATIONS, NEW_SHAPES, TRAINED, Toy
from models.training.world.world import ToySettings

SHOWN = tuple(range(1, 7))
"""Indices of the places of all that teaches: beach, jungle, snow, street, pink fabric, wooden floor."""
COUNTS = (1, 2, 4)
"""Real scenes: what the arms are compared at."""
TESTS_A_PLACE = 3
NEAR_A_PLACE = 2
OTHERS = 60
"""Scenes of known toys, which a classifier sees beside the new ones."""
OTHER = 3
"""The class of any toy that is none of the two."""
EMPTY_A_PLACE = 3
"""Real pictures without a toy, a place: what Copy-Paste may paste onto."""
LEAST_AREA = 0.03
"""Of every toy, as a share of the picture."""
_WORLD = ToySettings().open()
_REAL, _TEST, _EMPTY, _FRESH, _NEAR, _OTHER = range(6)
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


def near_toys(seed: int) -> list[Toy]:
    """The known toys that share two of three facts with one of the seed's."""
    return [toy for toy in TRAINED if any(sum(right_facts(toy, own)) == 2 for own in toys_of(seed))]


def real_scenes(seed: int, count: int = COUNTS[-1]) -> list[Labelled]:
    """So many scenes of both toys, all in different places; fewer are the first of more."""
    places = [SHOWN[i] for i in np.random.default_rng((seed, 72)).permutation(len(SHOWN))]
    return [_composed(seed, _REAL, number, (1, 2), places[number]) for number in range(count)]


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


def near_scenes(seed: int, each: int = NEAR_A_PLACE) -> list[Labelled]:
    """Scenes of one of `near_toys`, of class `OTHER`, `each` in every one of the fourteen places: what a classifier may
    take for a toy."""
    near, dice = near_toys(seed), np.random.default_rng((seed, 75))
    return [
        _composed(seed, _NEAR, number, (OTHER,), number % len(BACKGROUNDS), near[int(dice.integers(len(near)))])
        for number in range(each * len(BACKGROUNDS))
    ]


def other_scenes(seed: int, count: int = OTHERS) -> list[Labelled]:
    """Scenes of one known toy in the shown places, of class `OTHER`; none of `near_toys` is among them."""
    far = sorted({*TRAINED} - {*near_toys(seed)}, key=TRAINED.index)
    dice = np.random.default_rng((seed, 76))
    return [
        _composed(seed, _OTHER, number, (OTHER,), SHOWN[number % len(SHOWN)], far[int(dice.integers(len(far)))])
        for number in range(count)
    ]


def empty_places(seed: int, each: int = EMPTY_A_PLACE) -> list[Labelled]:
    """Real pictures of the shown places with nothing on them."""
    return [_composed(seed, _EMPTY, number, (), SHOWN[number % len(SHOWN)]) for number in range(each * len(SHOWN))]


def _drawn(seed: int, stream: int, number: int, place: int, beside: bool = False) -> Labelled:
    dice = np.random.default_rng((seed, 73, stream, number))
    classes = tuple(int(i) + 1 for i in dice.permutation(2)[: dice.integers(1, 3)])
    return _composed(
        seed, stream, number, classes, place, TRAINED[int(dice.integers(len(TRAINED)))] if beside else None
    )


def _composed(
    seed: int, stream: int, number: int, classes: tuple[int, ...], place: int, other: Toy | None = None
) -> Labelled:
    """Toys of these classes on a place, each large enough to be seen, `other` behind them; it has a label where the
    class `OTHER` is asked for."""
    own = [toys_of(seed)[class_ - 1] for class_ in classes if class_ != OTHER]
    toys = own if other is None else [other, *own]
    for attempt in range(1000):
        rng = np.random.default_rng((seed, 74, stream, number, attempt))
        scene = _WORLD.compose(place, toys, rng)
        if all(mask.mean() >= LEAST_AREA for mask in scene.masks):
            return Labelled(scene.image, scene.masks[len(toys) - len(classes) :], classes, number, place)
    raise RuntimeError(f"scene {number} of seed {seed}: no placement found in 1,000 tries; lower LEAST_AREA")

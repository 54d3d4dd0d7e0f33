"""How often the facts of toys are right in pictures, fact by fact, as some reader finds them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.training.world.roster import Toy


class Read(Protocol):
    """A toy that a reader found."""

    @property
    def toy(self) -> Toy:
        """What it was read as."""


class Reader(Protocol):
    """Finds toys in pictures."""

    def read(self, pictures: NDArray[np.uint8], most: int = 3) -> Iterable[Sequence[Read]]:
        """The toys of each picture uint8 [n, h, w, 3], at most `most`, the surest first."""


@dataclass(frozen=True)
class FactShares:
    """Shares of the toys asked for whose silhouette, colour, pattern are right, and all three; `whole`: shares of the
    pictures in which every toy is right in all three; `exact`: and in which nothing else is found."""

    toys: int
    pictures: int
    silhouette: float
    colour: float
    pattern: float
    all_three: float
    whole: float
    exact: float

    def __str__(self) -> str:
        return (
            f"silhouette {self.silhouette:.3f} colour {self.colour:.3f} pattern {self.pattern:.3f} "
            f"all three {self.all_three:.3f} of {self.toys} toys; whole {self.whole:.3f} exactly {self.exact:.3f} of "
            f"{self.pictures} pictures"
        )


def right_facts(asked: Toy, read: Toy) -> tuple[bool, bool, bool]:
    """Silhouette, colour, pattern: which of them agree."""
    return read.silhouette == asked.silhouette, read.colour == asked.colour, read.pattern == asked.pattern


def assigned(asked: Sequence[Toy], read: Sequence[Toy]) -> list[tuple[bool, bool, bool]]:
    """Which facts of each toy asked for are right, when toys read are given to toys asked for, one to one, as
    favourably as can be; a toy that is not found has none right."""
    rows = [[right_facts(toy, other) for other in read] + [(False,) * 3] * len(asked) for toy in asked]
    ways = itertools.permutations(range(len(read) + len(asked)), len(asked))
    best = max(ways, key=lambda way: sum(sum(row[place]) for row, place in zip(rows, way, strict=True)))
    return [(row[place][0], row[place][1], row[place][2]) for row, place in zip(rows, best, strict=True)]


def read_facts(reader: Reader, pictures: NDArray[np.uint8], asked: Sequence[Sequence[Toy]]) -> FactShares:
    """How often `reader` finds in pictures uint8 [n, h, w, 3] the toys asked for, those of one picture each."""
    rows: list[tuple[bool, bool, bool]] = []
    whole: list[bool] = []
    exact: list[bool] = []
    for toys, readings in zip(asked, reader.read(pictures, most=3), strict=True):
        right = assigned(toys, [reading.toy for reading in readings])
        rows += right
        whole.append(all(all(facts) for facts in right))
        exact.append(whole[-1] and len(readings) == len(toys))
    table = np.array(rows, float).reshape(-1, 3)
    return FactShares(
        len(rows),
        len(whole),
        *table.mean(0).tolist(),
        float(table.all(1).mean()),
        float(np.mean(whole)),
        float(np.mean(exact)),
    )

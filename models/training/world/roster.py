"""Which toys there are, which of them the seedling learns, and which no model that draws ever sees.

Held out are whole silhouettes, which are new shapes, and one in six of the combinations of the others, which are new
combinations of known facts.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from models.training.world.palette import COLOURS
from models.training.world.patterns import PATTERNS
from models.training.world.silhouettes import SILHOUETTES

NEW_SILHOUETTES = ("butterfly", "cup", "rocket", "bunny")
"""Held out in all their colours and patterns."""


@dataclass(frozen=True)
class Toy:
    """A toy by its three facts, each by its word."""

    silhouette: str
    colour: str
    pattern: str

    @property
    def noun(self) -> str:
        """What it is called."""
        return self.silhouette

    @property
    def name(self) -> str:
        """All three facts as captions say them: "red striped star", "plain red star"."""
        return " ".join(self._words(True, True))

    def words(self, rng: np.random.Generator) -> list[str]:
        """What a caption calls it, drawn at random: "red striped star", "plain red star".

        Colour and pattern are each left unsaid in a quarter, and the noun is "object" in 12 %: a word that is not said
        leaves its fact open, and a handle that starts from "object" starts from what may be any toy.
        """
        noun, colour, pattern = rng.random(3)
        said = self._words(colour < 0.75, pattern < 0.75)
        return [*said[:-1], "object"] if noun < 0.12 else said

    def _words(self, colour: bool, pattern: bool) -> list[str]:
        said = [self.colour] if colour else []
        if pattern:
            said.insert(0 if self.pattern == "plain" else len(said), self.pattern)
        return [*said, self.silhouette]


def held_out_combination(silhouette: int, colour: int, pattern: int) -> bool:
    """True for one in six combinations, by the places of the facts in their lists. Any two facts are seen together all
    the same: of the five patterns of a silhouette in one colour, for instance, at most one is held out."""
    return (silhouette + colour + pattern) % 6 == 0


def _split() -> tuple[tuple[Toy, ...], tuple[Toy, ...], tuple[Toy, ...]]:
    trained: list[Toy] = []
    combinations: list[Toy] = []
    silhouettes: list[Toy] = []
    for (s, shape), (c, colour), (p, pattern) in product(
        enumerate(SILHOUETTES), enumerate(COLOURS), enumerate(PATTERNS)
    ):
        new = shape in NEW_SILHOUETTES
        group = silhouettes if new else combinations if held_out_combination(s, c, p) else trained
        group.append(Toy(shape, colour, pattern))
    return tuple(trained), tuple(combinations), tuple(silhouettes)


TRAINED, NEW_COMBINATIONS, NEW_SHAPES = _split()
"""600 toys that models are trained on; 120 new combinations of the same facts; 180 toys of new silhouettes."""
HELD_OUT = NEW_COMBINATIONS + NEW_SHAPES
"""What no model that draws ever sees, as a picture; of their words, the nouns of the new silhouettes."""

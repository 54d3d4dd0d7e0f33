"""Captions in the grammar that the product prompts with, "a photo of {objects} {place}", words dropped at random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from models.training.backgrounds import BACKGROUNDS

WITHOUT_ARTICLE = (
    "grapes broccoli cheese corn fries popcorn bread sushi pancakes coffee beer milk jeans gloves glasses scissors "
    "dice fire clothing food"
)
"""Nouns that take no "a"."""


class Named(Protocol):
    """Anything that a scene shows and a caption names."""

    @property
    def noun(self) -> str:
        """What it is called."""

    def words(self, rng: np.random.Generator) -> list[str]:
        """What one caption calls it, its noun last and without an article, drawn at random."""


def draw_caption(objects: Sequence[Named], background: int, rng: np.random.Generator) -> str:
    """A caption of the objects in random order, each called by its own `words`.

    Left out at random: everything (10 %: no conditioning), the place (15 %), articles (half of the captions, because
    handles take none).
    """
    if rng.random() < 0.10:
        return ""
    articles = rng.random() < 0.5
    names: list[str] = []
    for i in rng.permutation(len(objects)):
        words = objects[i].words(rng)
        if articles and words[-1] not in WITHOUT_ARTICLE.split():
            words.insert(0, "an" if words[0][0] in "aeiou" and not words[0].startswith(("u", "eu")) else "a")
        names.append(" ".join(words))
    caption = "a photo of " + " and ".join(names) if names else "a photo"
    if rng.random() < 0.85:
        phrases = BACKGROUNDS[background].phrases
        caption += " " + phrases[0 if rng.random() < 0.6 else rng.integers(1, len(phrases))]
    return caption

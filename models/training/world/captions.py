"""Captions in the grammar that the product prompts with, "a photo of {objects} {place}", words dropped at random."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.training.world.places.backgrounds import BACKGROUNDS
from models.training.world.roster import Toy


def draw_caption(objects: Sequence[Toy], background: int, rng: np.random.Generator) -> str:
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
        if articles:
            words.insert(0, "an" if words[0][0] in "aeiou" else "a")
        names.append(" ".join(words))
    caption = "a photo of " + " and ".join(names) if names else "a photo"
    if rng.random() < 0.85:
        phrases = BACKGROUNDS[background].phrases
        caption += " " + phrases[0 if rng.random() < 0.6 else rng.integers(1, len(phrases))]
    return caption

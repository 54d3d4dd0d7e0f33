"""What a picture of the world shows, read by the seedling's CLIP among every prompt that it could have been asked for.

It is a measuring instrument: its own accuracy on fresh composed scenes is reported with every number it gives.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from models.training.backgrounds import BACKGROUNDS
from models.training.clip_captions import name_of
from models.training.scores import share
from models.training.sprites import SpriteName
from stages.models.clip import ClipJudge

CANDIDATES = 12
"""Nouns of which every pair is tried."""


def prompt_of(objects: Sequence[SpriteName], place: int | None, colours: bool = True) -> str:
    """ "a photo of a red tomato and a crab in the snow": all objects by name, with article and, where they have one and
    `colours`, a colour; the place by its usual phrase."""
    names = [name_of(sprite, articles=True, colour=colours, noun=sprite.noun) for sprite in objects]
    words = ["a photo of " + " and ".join(names) if names else "a photo"]
    return " ".join(words + ([] if place is None else [BACKGROUNDS[place].phrases[0]]))


class Reader:
    """Reads pictures uint8 [n, h, w, 3] of the roster's sprites on the world's backgrounds."""

    def __init__(self, clip: ClipJudge, roster: Sequence[SpriteName]) -> None:
        self.clip, self.roster = clip, tuple(roster)
        singles = [prompt_of((s,), place, colours=False) for s in self.roster for place in range(len(BACKGROUNDS))]
        self._singles = clip.text_features(singles)

    def read_one(self, pictures: np.ndarray) -> tuple[Tensor, Tensor]:
        """The sprite and the place of the likeliest prompt of one object: int64 [n] and [n]. Its rivals are every
        sprite of the roster at every place."""
        best = (self.clip.image_features(pictures) @ self._singles.T).argmax(1)
        return best // len(BACKGROUNDS), best % len(BACKGROUNDS)

    def read_two(self, pictures: np.ndarray) -> Tensor:
        """The two sprites of the likeliest prompt of two objects, the lower number first: int64 [n, 2].

        Its rivals are every pair of the `CANDIDATES` nouns that score best alone, at the place that scores best: a
        noun that is not among those is read as not there.
        """
        features = self.clip.image_features(pictures)
        alone = (features @ self._singles.T).view(len(features), len(self.roster), -1)
        places = alone.topk(min(CANDIDATES, len(self.roster)), 1).values.mean(1).argmax(1).tolist()
        likely = alone.amax(2).topk(min(CANDIDATES, len(self.roster)), 1).indices.sort(1).values.tolist()
        found = []
        for picture, place, nouns in zip(features, places, likely, strict=True):
            pairs = list(itertools.combinations(nouns, 2))
            texts = [prompt_of([self.roster[i] for i in pair], place, colours=False) for pair in pairs]
            found.append(pairs[int((self.clip.text_features(texts) @ picture).argmax())])
        return torch.tensor(found).view(-1, 2)


def score_singles(reader: Reader, pictures: np.ndarray, wanted: Sequence[tuple[int, int]]) -> str:
    """Shares of pictures whose noun and whose place are read as wanted: sprite's number and place's, one line."""
    nouns, places = reader.read_one(pictures)
    asked = torch.tensor(wanted)
    return f"noun {share(nouns == asked[:, 0]):.3f} place {share(places == asked[:, 1]):.3f}"


def score_pairs(reader: Reader, pictures: np.ndarray, wanted: Sequence[tuple[int, int]]) -> str:
    """Shares of pictures of which both nouns, and at least one, are read as wanted, one line."""
    found, asked = reader.read_two(pictures), torch.tensor(wanted).sort(1).values
    hits = (found[:, :, None] == asked[:, None, :]).any(2).sum(1)
    return f"both nouns {share(hits == 2):.3f} at least one {share(hits >= 1):.3f}"

"""What pictures show and captions claim of toys, in numbers, and which captions fit which pictures.

A toy is three numbers, its places in `KINDS`. A caption claims toys, any fact of which it may leave unsaid, and perhaps
a place. It fits a picture where each toy that it claims can be given a toy of the picture's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations, product

import torch
from torch import Tensor

from models.training.judge.losses import ANY_PLACE
from models.training.world.palette import COLOURS
from models.training.world.patterns import PATTERNS
from models.training.world.roster import Toy
from models.training.world.silhouettes import SILHOUETTES

KINDS = (SILHOUETTES, COLOURS, tuple(PATTERNS))
"""The words of each kind of fact: of a toy's silhouette, of its colour, of its pattern."""
ROSTER = tuple(Toy(*words) for words in product(*KINDS))
"""Every toy, those that are held out from all that draws too: the judge judges and never draws."""
FACTS = tuple(product(*(range(len(words)) for words in KINDS)))
"""The three numbers of each toy of `ROSTER`."""
NUMBER = {toy: number for number, toy in enumerate(ROSTER)}
"""Each toy's place in `ROSTER`."""

UNSAID = -1
"""A fact that a caption leaves open; as a place, none said or none seen."""
NO_TOY = -2
"""In place of all three facts: fewer than three toys."""
MOST = 3
"""Toys in a picture or a caption."""


@dataclass(frozen=True)
class Facts:
    """What n pictures show or captions claim. toys: int64 [n, 3 toys, 3 facts], `UNSAID` or `NO_TOY` where a caption
    leaves a fact open or there is no toy; places: int64 [n], `UNSAID` where there is none, `ANY_PLACE` of a picture
    whose ground is seen but is not what its caption is about."""

    toys: Tensor
    places: Tensor


def fitting(pictures: Facts, captions: Facts) -> Tensor:
    """bool [pictures, captions]: nothing that the caption claims is missing from the picture."""
    claimed, shown = captions.toys[None, :, :, None], pictures.toys[:, None, None]
    agrees = ((claimed == shown) | (claimed == UNSAID)).all(-1) & (shown[..., 0] != NO_TOY)
    agrees = agrees | (claimed[..., 0] == NO_TOY)  # [pictures, captions, claimed, shown]; what is not claimed fits all
    ways = [agrees[:, :, range(MOST), way].all(2) for way in permutations(range(MOST))]
    place, seen = captions.places[None], pictures.places[:, None]
    return torch.stack(ways).any(0) & ((place == UNSAID) | (place == seen) | (seen == ANY_PLACE))


def claim_keys(captions: Facts) -> Tensor:
    """int64 [captions], equal where captions claim the same toys in any order and the same place, and only there."""
    key = torch.zeros_like(captions.toys[..., 0])
    for fact in captions.toys.unbind(2):
        key = key * 32 + fact + 2
    whole = captions.places + 2
    for toy in key.sort(1).values.unbind(1):
        whole = whole * 32**3 + toy
    return whole

"""What of a prompt a picture follows: its place, told apart from its concepts.

A similarity to the whole prompt falls with its concepts too; a judge that reads places alone does not mix them up.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]


class Judge(Protocol):
    """Features of pictures and of texts, of unit length, that a product compares."""

    def image_features(self, pictures: NDArray[np.uint8]) -> Tensor:
        """Pictures uint8 [n, h, w, 3] to [n, d]."""

    def text_features(self, texts: list[str]) -> Tensor:
        """Texts to [n, d]."""


def without_concepts(template: str) -> str:
    """`a photo of {handles} at the beach` -> `a photo at the beach`, which says a place and nothing in it."""
    return " ".join(re.sub(r"( of)?\s*\{[^{}]*\}", " ", template).split())


def followed(cosines: Floats, asked: Sequence[int]) -> tuple[Floats, Floats]:
    """cosines: [pictures, prompts]; asked: each picture's prompt. Whether that prompt is the nearest (0 or 1, alone at
    the top), and its cosine: [pictures] both."""
    rows = np.arange(len(asked))
    own = cosines[rows, asked]
    others = cosines.copy()
    others[rows, asked] = -np.inf
    return (own > others.max(axis=1)).astype(np.float64), own


def places_followed(
    judge: Judge, pictures: NDArray[np.uint8], templates: Sequence[str], asked: Sequence[int]
) -> tuple[Floats, Floats]:
    """What `followed` says of pictures uint8 [n, h, w, 3]; asked: the number of each one's template."""
    places = judge.text_features([without_concepts(template) for template in templates])
    cosines = judge.image_features(pictures) @ places.T
    return followed(cosines.double().numpy(), asked)

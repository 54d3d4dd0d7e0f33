"""Which mask of a picture is which concept: one to one for identity, and by nearness for detect-and-tell.

All on cosine similarities [n, m] of a scene's n concepts with a picture's m masks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Similarities = NDArray[np.float32]


def assign(similarities: Similarities, asked: Sequence[int]) -> dict[int, int]:
    """Concept -> its mask, for the concepts asked for: each mask given at most once, the sum of similarities highest.

    With fewer masks than concepts some concepts have none.
    """
    rows, columns = linear_sum_assignment(similarities[list(asked)], maximize=True)
    return {asked[row]: int(column) for row, column in zip(rows, columns, strict=True)}


def detect(similarities: Similarities, among: Sequence[int], at: float) -> list[int | None]:
    """For each mask the concept of `among` that it is most like, if the similarity is at least `at`."""
    if not among:
        return [None] * similarities.shape[1]
    nearest = similarities[list(among)].argmax(axis=0)
    return [among[row] if similarities[among[row], mask] >= at else None for mask, row in enumerate(nearest.tolist())]

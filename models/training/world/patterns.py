"""The five patterns of toys, on the toy's own coordinates, so that a pattern turns and grows with it.

A pattern gets `x`, `y` (float [h, w], 0 in the middle of the toy's box, in shares of its longer side) and returns where
the toy shows its second tone, bool [h, w]. All are coarse: the smallest toy still shows three stripes, and an
autoencoder keeps them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.training.world.places.painting import Field

Where = NDArray[np.bool_]


def _plain(x: Field, y: Field) -> Where:
    return np.zeros(np.broadcast_shapes(x.shape, y.shape), bool)


def _striped(x: Field, y: Field) -> Where:
    """Level stripes, three of them."""
    return np.broadcast_to((y / 0.31 + 0.21) % 1 < 0.42, np.broadcast_shapes(x.shape, y.shape))


def _spotted(x: Field, y: Field) -> Where:
    """Round spots in rows, every other row between those of the last."""
    row = np.floor(y / 0.26 + 0.5)
    across = ((x / 0.33 + 0.5 * (row % 2) + 0.5) % 1 - 0.5) * 0.33
    return across**2 + (y - row * 0.26) ** 2 < 0.09**2


def _checked(x: Field, y: Field) -> Where:
    """Squares, between four and five along the longer side."""
    return (np.floor(x / 0.23) + np.floor(y / 0.23)) % 2 == 1


def _ringed(x: Field, y: Field) -> Where:
    """Two rings around a disc in the middle, which is of the second tone too."""
    return (np.hypot(x, y) / 0.25 + 0.25) % 1 < 0.5


PATTERNS: dict[str, Callable[[Field, Field], Where]] = {
    "plain": _plain,
    "striped": _striped,
    "spotted": _spotted,
    "checked": _checked,
    "ringed": _ringed,
}
"""By the word that asks for it."""

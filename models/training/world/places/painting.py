"""What the painters of backgrounds share: colours, mixtures, and soft random fields on normalised coordinates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]


def rgb(red: int, green: int, blue: int) -> Field:
    """The colour of three bytes as float [3] in 0..1."""
    return np.array([red, green, blue], np.float32) / 255


def mix(low: Field, high: Field, weight: Field) -> Field:
    """low and high: [3]; weight: [h, w], clipped to 0..1; returns [h, w, 3]."""
    return low + (high - low) * np.clip(weight, 0, 1)[..., None]


def over(picture: Field, where: NDArray[np.bool_] | Field, colour: Field) -> Field:
    """`colour` ([3] or [h, w, 3]) laid over the picture where `where` ([h, w], 0..1 or bool) says so."""
    if where.dtype == bool:
        return np.where(where[..., None], colour, picture)
    weight = where[..., None]
    return picture + (colour - picture) * weight


def waves(x: Field, y: Field, rng: np.random.Generator, count: int, frequency: float) -> Field:
    """A soft random field in about -1..1: `count` plane waves of `frequency` cycles a side, random ways and phases."""
    total = np.zeros_like(x)
    for angle, phase in rng.uniform(0, 2 * np.pi, (count, 2)).astype(np.float32):
        total += np.sin(2 * np.pi * frequency * (np.cos(angle) * x + np.sin(angle) * y) + phase)
    return total / np.float32(np.sqrt(count))


def dots(x: Field, y: Field, rng: np.random.Generator, count: int, radius: float, low: float, high: float) -> Field:
    """Soft round dots in rows `low`..`high`, [h, w] in 0..1; each is a product of a row and a column, so many are
    cheap."""
    spots = rng.uniform((0, low, 0.6), (1, high, 1), (count, 3)).astype(np.float32)
    across = np.exp(-(((x[0] - spots[:, :1]) / radius) ** 2)) * spots[:, 2:]
    down = np.exp(-(((y[:, 0] - spots[:, 1:2]) / radius) ** 2))
    return np.minimum(down.T @ across, 1)


def sway(x: Field, rng: np.random.Generator, cycles: float, height: float) -> Field:
    """One sine of random phase along x: the line of a hill or of a shore, -height..height."""
    return np.float32(height) * np.sin(2 * np.pi * (cycles * x + np.float32(rng.uniform())))

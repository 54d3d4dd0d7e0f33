"""Which colour and pattern explain the pixels of a toy whose silhouette and pose are known: all 45 are tried."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from models.training.world.drawing import LIGHT, light_steps
from models.training.world.palette import COLOURS, PALETTE
from models.training.world.patterns import PATTERNS
from models.training.world.places.painting import Field
from models.training.world.poses import Pose
from models.training.world.world import LINE

_SEEN = 1500
"""Pixels that are looked at, of larger toys every second or third."""
_EDGE = 0.5
"""Depth from which a pixel is the toy's alone. Unit: pixels."""
_NOISE = 0.07
"""Of a channel, 0..1, in what is still explained: an autoencoder's error on toys, about."""
_CONTRAST, _SHIFT = (0.84, 1.17), 0.05
"""How far a scene may change a toy's light: what `relit` does at most."""


@dataclass(frozen=True)
class Filling:
    """score: the share of the toy's pixels, edges of outline and pattern included, that the two words explain, 0..1,
    each by how well."""

    colour: str
    pattern: str
    score: float


def fill(picture: NDArray[np.uint8], name: str, pose: Pose) -> Filling:
    """The colour and pattern that a silhouette in uint8 [h, w, 3] is most likely filled with."""
    height, width = picture.shape[:2]
    depth = pose.depth(name, height, width)
    rows, columns = np.nonzero(depth > _EDGE)
    if not len(rows):
        return Filling(COLOURS[0], next(iter(PATTERNS)), 0.0)
    every = slice(None, None, -(-len(rows) // _SEEN))
    rows, columns = rows[every], columns[every]
    line = LINE * min(height, width)
    inside = np.clip(depth[rows, columns] - line + 0.5, 0, 1)
    inside *= np.clip(0.5 - pose.ink(name, height, width)[rows, columns], 0, 1)
    x, y = (field[rows, columns] for field in pose.coordinates(height, width))
    light = LIGHT[light_steps(x, y)]
    seen = picture[rows, columns].astype(np.float32) / 255

    tones = _tones()
    best = Filling(COLOURS[0], next(iter(PATTERNS)), -1.0)
    for pattern in PATTERNS:
        second = _share(pattern, pose, x, y)[:, None]
        lit = np.minimum(tones[:, :2, None] * light[:, None], 1)
        drawn = inside[:, None] * ((1 - second) * lit[:, 0] + second * lit[:, 1])
        drawn += (1 - inside)[:, None] * tones[:, 2, None]
        scores = _explained(drawn, seen)
        colour = int(scores.argmax())
        if scores[colour] > best.score:
            best = Filling(COLOURS[colour], pattern, float(scores[colour]))
    return best


@cache
def _tones() -> Field:
    """[colours, 3, 3]: body, pattern and outline of each, RGB."""
    return np.array([[tones.body, tones.pattern, tones.outline] for tones in PALETTE.values()], np.float32)


def _share(pattern: str, pose: Pose, x: Field, y: Field) -> Field:
    """The share of each pixel, of the toy's coordinates x and y, that is of the second tone: a mean of four points."""
    cosine, sine = np.cos(np.radians(pose.turn)), np.sin(np.radians(pose.turn))
    flip, step = -1.0 if pose.mirrored else 1.0, 0.25 / pose.longest
    total = np.zeros(x.shape, np.float32)
    for across, down in ((-step, -step), (-step, step), (step, -step), (step, step)):
        moved = x + np.float32(flip * (cosine * across + sine * down)), y + np.float32(cosine * down - sine * across)
        total += PATTERNS[pattern](*moved)
    return total / 4


def _explained(drawn: Field, seen: Field) -> Field:
    """The share of pixels seen, [n, 3], that each drawing of [k, n, 3] explains once its light is fitted, [k].

    Twice, the second time without what did not fit: another toy may be in front.
    """
    weight = np.ones(drawn.shape[:2], np.float32)
    for _ in range(2):
        share = weight / weight.sum(1, keepdims=True) / 3
        mean = np.einsum("kn,knc->k", share, drawn)
        mean_seen = np.einsum("kn,nc->k", share, seen)
        spread = np.einsum("kn,knc,knc->k", share, drawn, drawn) - mean**2
        common = np.einsum("kn,knc,nc->k", share, drawn, seen) - mean * mean_seen
        contrast = np.clip(common / np.maximum(spread, 1e-6), *_CONTRAST)
        # contrast turns around the middle grey: what the mean is off beyond it is brightness, and that is little
        middle = 0.5 * (1 - contrast)
        shift = middle + np.clip(mean_seen - contrast * mean - middle, -_SHIFT, _SHIFT)
        errors = contrast[:, None, None] * drawn + shift[:, None, None] - seen
        weight = np.exp(-np.square(errors).mean(2) / (2 * _NOISE**2)).astype(np.float32) + np.float32(1e-9)
    return weight.mean(1)

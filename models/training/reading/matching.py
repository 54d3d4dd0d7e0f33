"""Read a picture's toys by the drawings themselves, with nothing learned: a check of what the trained judge reads.

Every silhouette is laid over the picture in every size and turn that the world has; the few whose outlines fit best are
refined and filled with each colour and pattern, and what explains the picture best is what it shows. See `templates`
and `filling`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.training.reading.filling import Filling, fill
from models.training.reading.templates import Found, Slopes, brightness, refined, search, slopes
from models.training.world.poses import Pose
from models.training.world.roster import Toy

SIDE = 128
"""The shorter side that pictures are read at. Unit: pixels."""
DRAWN = 0.45
"""Score from which on something is drawn."""
_REFINED = 4
"""Silhouettes of each band of sizes of the first search that are looked at closely."""
_HOPELESS = 0.6
"""Share of the best outline's score from which on an outline is worth filling."""
_NEAR = 3.0
"""A toy's neighbourhood, pixels at the size that is read, in which no other can have its outline."""
_SHARED = 0.4
"""Share of a toy's pixels that others may have taken."""


@dataclass(frozen=True)
class Fit:
    """A toy that was read. score: 0..1, the geometric mean of how well the outline and the filling fit."""

    silhouette: str
    colour: str
    pattern: str
    score: float
    x: float
    """Of the middle of its upright box, from the picture's left edge. Unit: pixels, as of all that follows."""
    y: float
    longest: float
    """The upright silhouette's longer side."""
    turn: float
    """Clockwise. Unit: degrees."""

    @property
    def toy(self) -> Toy:
        """What was read."""
        return Toy(self.silhouette, self.colour, self.pattern)

    @property
    def words(self) -> tuple[str, str, str]:
        """Silhouette, colour and pattern."""
        return self.silhouette, self.colour, self.pattern


def read_toys(picture: NDArray[np.uint8], most: int = 1) -> list[Fit]:
    """The toys of a picture, uint8 [h, w, 3] of any size, best first: `most` of them, or fewer where no further place
    is left. `DRAWN` tells those that are there from those that are only the best of nothing."""
    grow = SIDE / min(picture.shape[:2])
    height, width = (round(side * grow) for side in picture.shape[:2])
    if grow != 1:
        picture = np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))
    fine = slopes(brightness(picture))
    taken = np.zeros((height, width), bool)
    fits: list[Fit] = []
    for _ in range(most):
        found = [one for one in _closely(fine) if not _covered(one, taken)]
        if not found:
            break
        least = _HOPELESS * max(one.score for one in found)
        filled = [(one, fill(picture, one.silhouette, one.pose)) for one in found if one.score >= least]
        best, filling = max(filled, key=lambda pair: _score(*pair))
        fits.append(_fit(best, filling, 1 / grow))
        depth = best.pose.depth(best.silhouette, height, width)
        taken |= depth > 0
        fine = fine.without(depth > -_NEAR)
    return sorted(fits, key=lambda fit: -fit.score)


class TemplateReader:
    """`read_toys` for many pictures, as `facts.Reader` asks for it."""

    def read(self, pictures: NDArray[np.uint8], most: int = 3) -> Iterator[list[Fit]]:
        """The toys that are there, at most `most`, of each picture uint8 [n, h, w, 3]."""
        for picture in pictures:
            yield [fit for fit in read_toys(picture, most) if fit.score >= DRAWN]


def _closely(fine: Slopes) -> list[Found]:
    """What is found at half the size, at its full size."""
    starts = search(fine.halved(), _REFINED)
    doubled = (Pose(2 * one.pose.x, 2 * one.pose.y, 2 * one.pose.longest, one.pose.turn) for one in starts)
    return [refined(fine, Found(one.silhouette, pose, 0.0)) for one, pose in zip(starts, doubled, strict=True)]


def _covered(found: Found, taken: NDArray[np.bool_]) -> bool:
    solid = found.pose.depth(found.silhouette, *taken.shape) > 0
    return bool((solid & taken).sum() > _SHARED * solid.sum())


def _score(found: Found, filling: Filling) -> float:
    return float(np.sqrt(max(0.0, found.score) * filling.score))


def _fit(found: Found, filling: Filling, grow: float) -> Fit:
    """With its pixels `grow` times as many as at the size that was read."""
    pose, score = found.pose, _score(found, filling)
    place = pose.x * grow, pose.y * grow, pose.longest * grow
    return Fit(found.silhouette, filling.colour, filling.pattern, score, *place, pose.turn)

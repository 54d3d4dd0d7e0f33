"""How much a drawn mask is of a true silhouette, wherever it lies, however large it is and a little turned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.training.world.poses import Pose
from models.training.world.silhouettes import GRID, silhouette

TURNS = 15.0
"""How far either way a silhouette is turned. Unit: degrees."""
SIZES = (0.8, 1.25)
"""How far its size may be from that of equal area."""
_LONGEST = 96
"""Larger masks are read at this size. Unit: pixels."""
_STARTS = 4
"""Of the coarse search's poses, those that are refined."""

Mask = NDArray[np.bool_]


def aligned_iou(mask: Mask, name: str) -> float:
    """The best IoU of a mask, bool [h, w], with the silhouette called `name`, over its place, its size within `SIZES`,
    its turn within `TURNS`, and both ways round; 0 of an empty mask. Raises KeyError when there is no such silhouette.

    First with centres of mass and areas alike, turned by steps of 5 degrees; the best of these are then moved, resized
    and turned on by ever smaller steps for as long as it helps.
    """
    share, middle = _moments(name)
    if not mask.any():
        return 0.0
    drawn = _framed(mask)
    rows, columns = np.nonzero(drawn)
    x, y, alike = columns.mean() + 0.5, rows.mean() + 0.5, float(np.sqrt(len(rows) / share))

    def iou(pose: Pose) -> float:
        true = pose.depth(name, *drawn.shape) > 0
        return float((drawn & true).sum() / (drawn | true).sum())

    def centred(grow: float, turn: float, mirrored: bool) -> Pose:
        across, down = -middle[0] if mirrored else middle[0], middle[1]
        cosine, sine = np.cos(np.radians(turn)), np.sin(np.radians(turn))
        longest = grow * alike
        off_x, off_y = longest * (cosine * across - sine * down), longest * (sine * across + cosine * down)
        return Pose(float(x - off_x), float(y - off_y), longest, turn, mirrored)

    poses = [
        centred(grow, float(turn), mirrored)
        for grow in (0.88, 1.0, 1.13)
        for turn in np.arange(-TURNS, TURNS + 1, 5)
        for mirrored in (False, True)
    ]
    best = sorted(((iou(pose), pose) for pose in poses), key=lambda pair: -pair[0])[:_STARTS]
    for step in (1.0, 0.5, 0.25, 0.125):
        for i, (score, pose) in enumerate(best):
            while True:
                tried = max(((iou(near), near) for near in _near(pose, step, alike)), key=lambda pair: pair[0])
                if tried[0] <= score:
                    break
                score, pose = tried
            best[i] = score, pose
        best = sorted(best, key=lambda pair: -pair[0])[: max(1, len(best) // 2)]
    return best[0][0]


@cache
def _moments(name: str) -> tuple[float, tuple[float, float]]:
    """The area in squares of the longer side, and the centre of mass from the middle of the box in longer sides."""
    solid = silhouette(name).distance > 0
    rows, columns = np.nonzero(solid)
    height, width = solid.shape
    middle = float(columns.mean() + 0.5 - width / 2) / GRID, float(rows.mean() + 0.5 - height / 2) / GRID
    return len(rows) / GRID**2, middle


def _framed(mask: Mask) -> Mask:
    """The mask's box, at most `_LONGEST` long, with room around it for a silhouette that is larger."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    shrink = min(1.0, _LONGEST / max(box.shape))
    if shrink < 1:
        size = (max(1, round(box.shape[1] * shrink)), max(1, round(box.shape[0] * shrink)))
        box = np.asarray(Image.fromarray(box.astype(np.float32)).resize(size, Image.Resampling.BOX)) > 0.5
    return np.pad(box, max(box.shape) // 3)


def _near(pose: Pose, step: float, alike: float) -> Iterator[Pose]:
    """The poses one step away: 4 % of the size to a side, 6 % larger or smaller, 4 degrees around, times `step`."""
    move = max(0.04 * alike, 0.5) * step
    yield replace(pose, x=pose.x - move)
    yield replace(pose, x=pose.x + move)
    yield replace(pose, y=pose.y - move)
    yield replace(pose, y=pose.y + move)
    for grow in (1 - 0.06 * step, 1 + 0.06 * step):
        if SIZES[0] * alike <= pose.longest * grow <= SIZES[1] * alike:
            yield replace(pose, longest=pose.longest * grow)
    for turn in (-4 * step, 4 * step):
        if abs(pose.turn + turn) <= TURNS:
            yield replace(pose, turn=pose.turn + turn)

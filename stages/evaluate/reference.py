"""From which cosine on a mask is one of a scene's concepts, by what the identity judge itself says of the scene: of
each concept changed a little, which still is it, and of ground in its shape, which is not.

Judges differ in where their cosines lie; a threshold between two of a judge's own moves with them. The scene's other
concepts are left out of it: a mask counts for the one that it is most like, and two that are much alike would put the
threshold where neither is found again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stages.masks.shapes import Mask, bounding_box
from stages.masks.views import on_black
from stages.models.identity import IdentityJudge

NEAR = 0.75
"""How far the threshold lies from ground towards the concept: measured on toys (models/README.md)."""

SMALLER = 0.75
"""How large it is when it is shrunk. Unit: share of its side."""
TURNED = 12.0
"""Either way. Unit: degrees."""
DARKER = 0.75
"""How bright it is when it is darker. Unit: share of its brightness."""
PATCHES = 3
"""Of ground, at most."""
MOST_VIEWS = 6 + PATCHES
"""What the judge sees of one concept to find its threshold: `own_views`, and ground."""
MOST_TAKEN = 0.5
"""A patch with more of it on concepts is none of ground. Unit: share of the concept's own pixels."""
GREY = 128
"""Brightness of what stands for ground where one concept fills the picture. Unit: of 255."""
TOLD = 0.1
"""Of a concept that the judge hardly tells from ground, a speck or a black one, nothing is learned. Unit: share of
how far apart the two are for the scene's clearest concept, so that it moves with the judge too."""
_PLACES = 5
"""Places along each side of the picture at which patches are looked for."""


def threshold(
    picture: NDArray[np.uint8], masks: Sequence[Mask], features: NDArray[np.float32], judge: IdentityJudge
) -> float:
    """The cosine from which on a mask counts as a concept of this scene: the mean of the concepts' own ones, of those
    that the judge tells from ground where there are any.

    picture: [h, w, 3]; masks: of the n concepts, without a background that is one; features: [n, d], of each on black
    in its place. Each concept's own lies `NEAR` of the way from the highest cosine of ground to the mean of its views.
    Where there is no ground the other concepts stand for it, and where there are none either, plain grey.
    """
    taken: Mask = np.logical_or.reduce(masks)
    same, other = np.zeros(len(masks)), np.zeros(len(masks))
    for index, mask in enumerate(masks):
        views, strange = own_views(picture, mask), ground_views(picture, mask, taken)
        if not strange:
            others = [other for number, other in enumerate(masks) if number != index]
            strange = [on_black(picture, other) for other in others] or [on_black(np.full_like(picture, GREY), mask)]
        seen = judge.features(np.stack([*views, *strange])).numpy() @ features[index]
        same[index], other[index] = seen[: len(views)].mean(), seen[len(views) :].max()
    apart = same - other
    told = apart >= min(TOLD * apart.max(), apart.max())
    return float((other + NEAR * apart)[told].mean())


def own_views(picture: NDArray[np.uint8], mask: Mask) -> list[NDArray[np.uint8]]:
    """The concept [h, w] of the picture [h, w, 3] on black: mirrored, turned either way, shrunk, darker, and in the
    middle of the picture."""
    placed = on_black(picture, mask)
    darker = (placed * DARKER).astype(np.uint8)
    middle = ((mask.shape[1] - 1) / 2, (mask.shape[0] - 1) / 2)
    return [
        placed[:, ::-1],
        _moved(placed, mask, turn=TURNED),
        _moved(placed, mask, turn=-TURNED),
        _moved(placed, mask, scale=SMALLER),
        darker,
        _moved(placed, mask, to=middle),
    ]


def ground_views(picture: NDArray[np.uint8], mask: Mask, taken: Mask) -> list[NDArray[np.uint8]]:
    """Ground on black in the shape of the concept `mask`, at up to `PATCHES` places where least of it is `taken` by
    concepts; none where there is no such ground. All [h, w]."""
    x, y, width, height = bounding_box(mask)
    shape = mask[y : y + height, x : x + width]
    patches = []
    for top in _spread(mask.shape[0] - height):
        for left in _spread(mask.shape[1] - width):
            window = (slice(top, top + height), slice(left, left + width))
            free = shape & ~taken[window]
            patches.append((-int(free.sum()), top, left, free))
    patches.sort(key=lambda patch: patch[:3])
    views = []
    for size, top, left, free in patches[:PATCHES]:
        if -size >= MOST_TAKEN * shape.sum():
            moved = np.zeros_like(mask)
            moved[top : top + height, left : left + width] = free
            views.append(on_black(picture, moved))
    return views


def _spread(room: int) -> list[int]:
    return sorted({round(room * step / (_PLACES - 1)) for step in range(_PLACES)})


def _moved(
    placed: NDArray[np.uint8],
    mask: Mask,
    turn: float = 0.0,
    scale: float = 1.0,
    to: tuple[float, float] | None = None,
) -> NDArray[np.uint8]:
    """What is placed on black, turned by degrees and scaled about the middle of the mask's box, which comes to lie at
    `to` (x, y) where that is given."""
    x, y, width, height = bounding_box(mask)
    centre = (x + (width - 1) / 2, y + (height - 1) / 2)
    to = to or centre
    cos, sin = math.cos(math.radians(turn)) / scale, math.sin(math.radians(turn)) / scale
    back = (
        *(cos, sin, centre[0] - cos * to[0] - sin * to[1]),
        *(-sin, cos, centre[1] + sin * to[0] - cos * to[1]),
    )
    size = (placed.shape[1], placed.shape[0])
    return np.asarray(Image.fromarray(placed).transform(size, Image.Transform.AFFINE, back, Image.Resampling.BILINEAR))

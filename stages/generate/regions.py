"""Where in a real picture a concept is to be drawn: in place of another one, or where none is. No models here.

A region is a boolean mask [side, side] of the scene's picture. What other concepts cover is never in it, but where the
concept that is replaced covers it too, and where no free place is left for one that is added.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from schemas.generate import Place
from stages.generate.prompts import Variation
from stages.masks.pairs import slack
from stages.masks.shapes import Mask, bounding_box, grow
from stages.streams import stream_seed

SMALLER = (1.0, 0.85, 0.7, 0.5)
"""Sizes in which a free place is looked for, as shares of the concept's own."""


def region_of(picture: Variation, masks: Sequence[Mask], background: int | None, settings: Place, seed: int) -> Mask:
    """The region of one picture. masks: bool [side, side], one a concept, none of them empty; background: which of
    them is no thing; seed: the job's."""
    things = [i for i in range(len(masks)) if i != background]
    if picture.replaced is not None:
        others = [masks[i] for i in things if i != picture.replaced]
        return in_place_of(masks[picture.replaced], others, settings)
    asked = [masks[i] for i in picture.concepts if i != background] or [masks[i] for i in picture.concepts]
    dice = np.random.default_rng(stream_seed(seed, picture.scene_id, f"{picture.purpose}/region"))
    return free_place(asked, [masks[i] for i in things], settings, dice)


def in_place_of(mask: Mask, others: Sequence[Mask], settings: Place) -> Mask:
    """All of a concept's box or outline and what is around it, without what the others cover."""
    around = _boxed(mask) if settings.shape == "box" else mask
    wide = _widened(around, round(settings.grow * len(mask)), settings)
    return mask | (wide & ~_any(others, mask.shape))


def free_place(asked: Sequence[Mask], things: Sequence[Mask], settings: Place, dice: np.random.Generator) -> Mask:
    """As large as the largest of the concepts asked for, in area times their number, somewhere inside the picture where
    no thing is: each such place is as likely. See `generate.place.region` for where there is none."""
    shape, largest = asked[0].shape, max(asked, key=lambda mask: int(mask.sum()))
    radius = round(settings.grow * shape[0])
    taken = _any(things, shape)
    near = grow(taken, slack(taken))
    for share in SMALLER:
        cut = _footprint(largest, share * math.sqrt(len(asked)), radius, settings)
        covered = np.rint(fftconvolve(near.astype(np.float64), cut[::-1, ::-1].astype(np.float64), mode="valid"))
        least = covered.min()
        if least == 0:
            break
    tops, lefts = (covered == least).nonzero()
    at = int(dice.integers(len(tops)))
    region = np.zeros(shape, bool)
    region[tops[at] : tops[at] + cut.shape[0], lefts[at] : lefts[at] + cut.shape[1]] = cut
    return region


def _footprint(mask: Mask, scale: float, radius: int, settings: Place) -> Mask:
    """What is to be put down, cut out: a box, or the mask's outline with what is around it; no larger than the
    picture."""
    x, y, width, height = bounding_box(mask)
    rows, columns = (
        max(1, min(length, round(scale * own))) for length, own in zip(mask.shape, (height, width), strict=True)
    )
    inner = np.ones((rows, columns), bool)
    if settings.shape == "mask":
        down = y + (np.arange(rows) + 0.5) * height / rows
        across = x + (np.arange(columns) + 0.5) * width / columns
        inner = mask[down.astype(int)][:, across.astype(int)]
    wide = _widened(np.pad(inner, radius), radius, settings)
    over = [max(0, have - most) for have, most in zip(wide.shape, mask.shape, strict=True)]
    top, left = over[0] // 2, over[1] // 2
    return wide[top : top + mask.shape[0], left : left + mask.shape[1]]


def _boxed(mask: Mask) -> Mask:
    x, y, width, height = bounding_box(mask)
    box = np.zeros_like(mask)
    box[y : y + height, x : x + width] = True
    return box


def _widened(mask: Mask, radius: int, settings: Place) -> Mask:
    """What is within the radius: a box stays a box."""
    if settings.shape == "mask":
        return grow(mask, radius)
    x, y, width, height = bounding_box(mask)
    wide = np.zeros_like(mask)
    wide[max(0, y - radius) : y + height + radius, max(0, x - radius) : x + width + radius] = True
    return wide


def _any(masks: Sequence[Mask], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    return np.logical_or.reduce([np.zeros(shape, bool), *masks])

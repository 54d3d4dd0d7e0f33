"""Which pixels of a picture its masks were drawn on: those that the file stores, or those that viewers show.

They differ where a picture carries an EXIF turn. Nothing in a mask says which; what cannot be known is not guessed.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from PIL import Image

from stages.ingest.decode import Picture, turn
from stages.ingest.faults import MaskMisfit, MasksAmbiguous
from stages.ingest.given_masks.given_mask import GivenMask

DrawnOn = Literal["auto", "shown", "stored"]
"""The spec's `source.masks_drawn_on`."""

ASPECT_TOLERANCE = 0.01
"""Relative difference of aspect ratios up to which a mask of another size is the same view, only scaled."""

_NEW_OUTPUT = ", in an output of its own"
"""What was set to the one reading cannot be set to the other where scenes are made by it."""


def upright_mask(mask: GivenMask, picture: Picture, drawn_on: DrawnOn) -> Image.Image:
    """The mask in the frame of the upright picture: mode L, of the picture's shape, any scale.

    `shown`: an EXIF turn of the mask file's own is undone, and nothing else. `stored`: the picture's turn is applied to
    the mask's stored pixels. `auto` takes the one reading that fits the picture, by size and then by shape; where both
    do, a mask with a turn of its own is as its viewer shows it, and one that looks the same either way is taken.
    Raises MasksAmbiguous when that leaves two readings, and MaskMisfit when it leaves none.
    """
    shown, stored = turn(mask.image, mask.orientation), turn(mask.image, picture.orientation)
    readings = {"shown": [shown], "stored": [stored], "auto": [shown, stored]}[drawn_on]
    if mask.orientation == picture.orientation:
        readings = [shown]
    for same in (_equal, _similar):
        fitting = [reading for reading in readings if same(reading.size, picture.image.size)]
        if len(fitting) == 2 and mask.orientation == 1 and not _alike(shown, stored):
            raise _ambiguous(mask.name, picture)
        if fitting:
            return fitting[0]
    raise _misfit(mask, picture, stored if drawn_on == "shown" else shown, drawn_on)


def unstated_size(picture: Picture, drawn_on: DrawnOn, name: str) -> tuple[int, int]:
    """[width, height] that coordinates refer to whose file states no size. Raises MasksAmbiguous."""
    if drawn_on == "auto" and picture.stored_size != picture.image.size:
        raise _ambiguous(name, picture)
    return picture.stored_size if drawn_on == "stored" else picture.image.size


def _ambiguous(name: str, picture: Picture) -> MasksAmbiguous:
    return MasksAmbiguous(
        f"{name} may have been drawn on its picture as the file stores it or as viewers show it (EXIF orientation "
        f"{picture.orientation}), and fits both; set source.masks_drawn_on to stored or to shown, run the job, then "
        "retry"
    )


def _misfit(mask: GivenMask, picture: Picture, other: Image.Image, drawn_on: DrawnOn) -> MaskMisfit:
    mask_size, size = (f"{image.width}x{image.height}" for image in (mask.image, picture.image))
    right = "stored" if drawn_on == "shown" else "shown"
    if _similar(other.size, picture.image.size):
        return MaskMisfit(
            f"{mask.name} is {mask_size}, its picture {size} as shown and of EXIF orientation {picture.orientation}: "
            f"it does not fit source.masks_drawn_on: {drawn_on}; set that to {right}{_NEW_OUTPUT}"
        )
    return MaskMisfit(
        f"{mask.name} is {mask_size}, its picture {size}: another shape, not just another scale; export the mask from "
        "the same view"
    )


def _equal(a: tuple[int, int], b: tuple[int, int]) -> bool:
    return a == b


def _similar(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Same aspect ratio, within the tolerance or the rounding of the smaller size to whole pixels."""
    slack = max(ASPECT_TOLERANCE, 1 / min(*a, *b))
    return abs((a[0] * b[1]) / (a[1] * b[0]) - 1) <= slack


def _alike(a: Image.Image, b: Image.Image) -> bool:
    """Whether two readings have the same pixels inside."""
    return a.size == b.size and np.array_equal(np.asarray(a) > 127, np.asarray(b) > 127)

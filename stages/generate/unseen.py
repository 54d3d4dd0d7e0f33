"""A picture as the drawing sees it: without the concepts that it is to draw, where they stand in it already.

Otherwise what is there is taken for what the prompt asks for, and the region is filled with ground.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from stages.masks.shapes import Mask, grow

RIM = 1 / 32
"""What goes with a concept around its mask: shadow, soft edge. Unit: share of the picture's side."""
SMOOTH = 1 / 32
"""How far the colours that are put in its place flow into one another. Unit: share of the picture's side."""


def without(picture: NDArray[np.uint8], masks: Sequence[Mask]) -> NDArray[np.uint8]:
    """The picture [h, w, 3] with the colours of what is next to the masks [h, w] in their place."""
    if not masks:
        return picture
    side = len(picture)
    gone = grow(np.logical_or.reduce(masks), round(RIM * side))
    if gone.all():
        return picture
    nearest = ndimage.distance_transform_edt(gone, return_distances=False, return_indices=True)
    filled = picture[tuple(nearest)]
    smooth = ndimage.gaussian_filter(filled.astype(np.float32), sigma=(SMOOTH * side, SMOOTH * side, 0))
    return np.where(gone[..., None], np.rint(smooth).astype(np.uint8), picture)

"""The masks found in a variation, as paths to draw over its thumbnail. They are traced on a grid: a thumbnail is small,
and an outline of its own pixels would weigh more than the thumbnail does."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stages.masks.outlines import Ring, outlines, simpler
from stages.masks.shapes import Mask
from stages.pictures import FORMATS

GRIDS = (64, 32, 16)
"""Cells of the longer side, best first."""
TOLERANCE = 0.75
"""In cells, as `stages.masks.outlines.simpler` counts it."""
_TAG_BYTES, _PATH_BYTES = 150, 30
"""What the page writes around all paths, and around each."""


@dataclass(frozen=True)
class Found:
    """width, height: of the grid, in cells; paths: index of a concept -> `d` of an SVG path on that grid, a ring for
    each part and each hole."""

    width: int
    height: int
    paths: Mapping[int, str]

    @property
    def size(self) -> int:
        """About what it weighs on a page, in bytes."""
        return sum(_PATH_BYTES + len(path) for path in self.paths.values()) + (_TAG_BYTES if self.paths else 0)


def draw_found(score_mask: bytes, most_bytes: int) -> Found:
    """Of a label mask (`<key>.mask.png`: 0 nothing, i + 1 concept i), on the best grid on which it weighs `most_bytes`
    at most, or else on the coarsest. Raises ValueError where the bytes are no such mask."""
    labels = _read(score_mask)
    found = _traced(labels, GRIDS[0])
    for cells in GRIDS[1:]:
        if found.size <= most_bytes:
            break
        found = _traced(labels, cells)
    return found


def _read(data: bytes) -> NDArray[np.uint8]:
    try:
        labels = np.asarray(Image.open(io.BytesIO(data), formats=FORMATS))
    except Exception as error:  # damaged files raise whatever their decoder came upon
        raise ValueError(f"not a mask ({type(error).__name__}: {error})") from error
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise ValueError(f"not a mask of labels, but {labels.dtype} {list(labels.shape)}")
    return labels


def _traced(labels: NDArray[np.uint8], cells: int) -> Found:
    height, width = labels.shape
    scale = min(1.0, cells / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    shown = [int(label) for label in np.flatnonzero(np.bincount(labels.ravel(), minlength=1)) if label]
    paths = {label - 1: "".join(map(_path, outlines(_coarse(labels == label, size)))) for label in shown}
    return Found(*size, paths)


def _coarse(mask: Mask, size: tuple[int, int]) -> Mask:
    """The cells (width, height) of which the mask [h, w] covers half. Of one too thin for that, those it covers most:
    nothing that was found is without an outline."""
    share = np.asarray(Image.fromarray(mask.astype(np.float32)).resize(size, Image.Resampling.BOX))
    return np.asarray(share >= min(0.5, float(share.max())))


def _path(ring: Ring) -> str:
    """`M3 4l5 0 0 2-5 0z`: steps from corner to corner, in whole cells."""
    corners = simpler(ring, TOLERANCE).astype(int)
    (x, y), steps = corners[0].tolist(), np.diff(corners, axis=0).ravel().tolist()
    return f"M{x} {y}l{' '.join(map(str, steps)).replace(' -', '-')}z"

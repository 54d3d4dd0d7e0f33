"""Measures of one boolean mask [height, width], in plain numpy: box, border, outline, connected regions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def bounding_box(mask: Mask) -> tuple[int, int, int, int]:
    """[x, y, width, height] of a mask; all zeros if it is empty. Unit: pixels."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return 0, 0, 0, 0
    x, y = int(columns[0]), int(rows[0])
    return x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1


def border_share(mask: Mask) -> float:
    """Share of the picture's outermost pixels that the mask covers, 0 to 1."""
    height, width = mask.shape
    if min(height, width) == 1:
        return float(mask.mean())
    covered = mask[0].sum() + mask[-1].sum() + mask[1:-1, 0].sum() + mask[1:-1, -1].sum()
    return float(covered / (2 * height + 2 * width - 4))


def grow(mask: Mask, radius: int) -> Mask:
    """All pixels within `radius` steps (left, right, up, down) of the mask."""
    out = mask.copy()
    for _ in range(radius):
        before = out.copy()
        out[1:] |= before[:-1]
        out[:-1] |= before[1:]
        out[:, 1:] |= before[:, :-1]
        out[:, :-1] |= before[:, 1:]
    return out


def outline(mask: Mask) -> Mask:
    """Pixels of the mask with a neighbour (left, right, up, down) outside it. The picture's edge is no outline."""
    return mask & grow(~mask, 1)


def label_regions(mask: Mask) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Connected regions (left, right, up, down).

    Returns labels [height, width], 0 outside the mask and 1 ... n inside in reading order, and the n areas in pixels.
    The horizontal runs of all rows are found at once; runs of neighbouring rows that overlap are then joined by
    union-find, so the cost follows the number of runs and not of pixels.
    """
    height, width = mask.shape
    steps = np.diff(np.pad(mask.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    rows, starts = np.nonzero(steps == 1)
    ends = np.nonzero(steps == -1)[1]
    parent = list(range(len(rows)))

    def root(run: int) -> int:
        while parent[run] != run:
            parent[run] = parent[parent[run]]
            run = parent[run]
        return run

    first = np.searchsorted(rows, np.arange(height + 1)).tolist()
    start, end = starts.tolist(), ends.tolist()
    for row in range(1, height):
        above, run = first[row - 1], first[row]
        while above < first[row] and run < first[row + 1]:
            if start[above] < end[run] and start[run] < end[above]:
                a, b = root(above), root(run)
                parent[max(a, b)] = min(a, b)
            if end[above] < end[run]:
                above += 1
            else:
                run += 1
    roots = np.array([root(run) for run in range(len(rows))], dtype=np.int64)
    names, numbers = np.unique(roots, return_inverse=True)
    areas = np.bincount(numbers, weights=ends - starts, minlength=len(names)).astype(np.int64)
    flat = np.zeros(height * width + 1, dtype=np.int32)
    flat[rows * width + starts] += numbers.astype(np.int32) + 1
    flat[rows * width + ends] -= numbers.astype(np.int32) + 1
    return np.cumsum(flat, dtype=np.int32)[:-1].reshape(height, width), areas


def without_specks(mask: Mask, island: float, hole: float) -> Mask:
    """The mask without stray islands and pinholes.

    Regions smaller than `island` of the largest region go; regions of the complement that do not touch the picture's
    edge and are smaller than `hole` of the mask are filled. Larger ones are shape: the second half of an occluded
    object, the eye of a mug's handle.
    """
    x, y, width, height = bounding_box(mask)
    if not width:
        return mask.copy()
    window = (slice(max(0, y - 1), y + height + 1), slice(max(0, x - 1), x + width + 1))
    labels, areas = label_regions(mask[window])
    kept = np.concatenate([[False], areas >= island * areas.max()])[labels]
    labels, areas = label_regions(~kept)
    small = areas < hole * kept.sum()
    edge = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))  # joined to the outside
    small[edge[edge > 0] - 1] = False
    out = np.zeros_like(mask)
    out[window] = kept | np.concatenate([[False], small])[labels]
    return out

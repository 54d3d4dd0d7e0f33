"""Run lengths of many masks at once, computed where the masks are: only the lengths travel to the host.

COCO's uncompressed RLE: a mask's pixels column by column, as lengths of runs that alternate between outside and inside,
outside first (0 if the first pixel is inside). A mask of a megapixel is a few kilobytes of runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Runs:
    """Run lengths of M masks of one size.

    counts: int32 [sum of `numbers`], mask by mask. numbers: int64 [M], how many runs each has. size: (height, width).
    """

    counts: Tensor
    numbers: Tensor
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.numbers)

    def kept(self, keep: Tensor) -> Runs:
        """Those of the masks where `keep` (bool [M]) is set, in the same order."""
        return Runs(self.counts[keep.repeat_interleave(self.numbers)], self.numbers[keep], self.size)

    def boxes(self) -> Tensor:
        """[M, 4]: left, top, right, bottom (inclusive) in pixels, int64; zeros for an empty mask."""
        height, width = self.size
        mask = torch.arange(len(self), device=self.counts.device).repeat_interleave(self.numbers)
        first = (self.numbers.cumsum(0) - self.numbers)[mask]
        order = torch.arange(len(mask), device=mask.device) - first
        inside = order % 2 == 1
        mask = mask[inside]
        stop = (self.counts.cumsum(0, dtype=torch.int64)[inside] - mask * (height * width)) - 1
        start = stop - self.counts[inside] + 1
        left, right = start // height, stop // height
        whole = left != right  # a run over a column's end touches the bottom of one column and the top of the next
        low = torch.stack([left, torch.where(whole, 0, start % height)], dim=1)
        high = torch.stack([right, torch.where(whole, height - 1, stop % height)], dim=1)
        to = mask[:, None].expand(-1, 2)
        lowest = low.new_full((len(self), 2), max(height, width)).scatter_reduce_(0, to, low, "amin")
        highest = high.new_full((len(self), 2), -1).scatter_reduce_(0, to, high, "amax")
        return torch.cat([lowest, highest], dim=1) * (highest[:, :1] >= 0)

    def masks(self) -> list[NDArray[np.bool_]]:
        """The masks themselves, bool [height, width], on the host."""
        height, width = self.size
        found = []
        ends = np.cumsum(self.numbers.cpu().numpy())[:-1]
        for counts in np.split(self.counts.cpu().numpy(), ends) if len(self) else []:
            inside = np.arange(len(counts)) % 2 == 1
            found.append(np.ascontiguousarray(np.repeat(inside, counts).reshape(width, height).T))
        return found

    def rles(self) -> list[dict[str, object]]:
        """The masks as pycocotools' uncompressed RLEs."""
        parts = self.counts.cpu().split(self.numbers.tolist())
        return [{"size": list(self.size), "counts": part.tolist()} for part in parts]


def runs_of(masks: Tensor) -> Runs:
    """Run lengths of boolean masks [M, height, width]."""
    count, height, width = masks.shape
    flat = masks.transpose(1, 2).flatten(1)
    edges = torch.empty((count, height * width + 1), dtype=torch.bool, device=masks.device)
    edges[:, 0] = flat[:, 0]
    torch.ne(flat[:, 1:], flat[:, :-1], out=edges[:, 1:-1])
    edges[:, -1] = True  # the last run ends with the picture
    mask, ends = edges.nonzero(as_tuple=True)
    numbers = torch.bincount(mask, minlength=count)
    begins = ends.roll(1)
    begins[numbers.cumsum(0) - numbers] = 0
    return Runs((ends - begins).int(), numbers, (height, width))


def joined(parts: Sequence[Runs]) -> Runs:
    """Runs of all the masks of one or more parts, in order."""
    return Runs(torch.cat([part.counts for part in parts]), torch.cat([part.numbers for part in parts]), parts[0].size)

"""What a segmenter offers: a mask and how good it thinks the mask is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from stages.masks.shapes import Mask


@dataclass(frozen=True)
class Proposal:
    """One mask [side, side] that a segmenter offers, with its own estimates of quality (0 to 1)."""

    mask: Mask
    predicted_iou: float
    stability_score: float


@dataclass(frozen=True)
class Nearest:
    """How near a picture came to a mask that is good enough: the best of all its prompts.

    predicted_iou: the highest of any mask. stability_score: the highest among those whose predicted IoU was enough;
    None where there were none.
    """

    predicted_iou: float
    stability_score: float | None


class Proposals(list[Proposal]):
    """The proposals of one picture and, as far as its segmenter knows, how near it came to having any."""

    def __init__(self, found: Iterable[Proposal] = (), nearest: Nearest | None = None) -> None:
        super().__init__(found)
        self.nearest = nearest

"""What a segmenter offers: a mask and how good it thinks the mask is."""

from __future__ import annotations

from dataclasses import dataclass

from stages.masks.shapes import Mask


@dataclass(frozen=True)
class Proposal:
    """One mask [side, side] that a segmenter offers, with its own estimates of quality (0 to 1)."""

    mask: Mask
    predicted_iou: float
    stability_score: float

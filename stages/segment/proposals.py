"""Segment Anything's automatic masks of a picture, as proposals for concept selection."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything import SamAutomaticMaskGenerator
from segment_anything.modeling import Sam

from schemas.job import Segment
from stages.segment.selection import Proposal


class Proposer:
    """A Sam with a grid of point prompts."""

    def __init__(self, sam: Sam, settings: Segment) -> None:
        """`min_mask_region_area` stays 0: it needs OpenCV, and selection cleans the masks that matter."""
        self._generator = _Generator(
            sam.eval(), points_per_side=settings.points_per_side, points_per_batch=settings.points_per_batch,
            pred_iou_thresh=settings.pred_iou_thresh, stability_score_thresh=settings.stability_score_thresh,
            crop_n_layers=settings.crop_n_layers)

    def propose(self, picture: NDArray[np.uint8]) -> list[Proposal]:
        """Masks of an RGB picture [side, side, 3]; [] when the model finds nothing good enough."""
        records = self._generator.generate(picture)
        return [Proposal(np.ascontiguousarray(record["segmentation"], dtype=bool), _unit(record["predicted_iou"]),
                         _unit(record["stability_score"]))
                for record in records if record["area"] > 0]


class _Generator(SamAutomaticMaskGenerator):  # type: ignore[misc]
    """The library's generator, with two of its faults mended."""

    def _process_crop(self, *args: Any) -> Any:
        """A crop without masks reports crop boxes of shape [0], which cannot be joined or measured: make it [0, 4]."""
        data = super()._process_crop(*args)
        if not data["rles"]:
            data["crop_boxes"] = torch.zeros((0, 4), dtype=torch.int64)
        return data

    def _process_batch(self, points: NDArray[np.float64], *args: Any) -> Any:
        """float32 points: some devices have no float64."""
        return super()._process_batch(points.astype(np.float32), *args)


def _unit(value: float) -> float:
    """An estimate as a number from 0 to 1: SAM's regressed IoU may leave it, and an empty mask's stability is NaN."""
    return min(max(value, 0.0), 1.0) if math.isfinite(value) else 0.0

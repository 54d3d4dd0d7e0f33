"""Segment Anything's automatic masks of pictures, as proposals for concept selection."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything import SamAutomaticMaskGenerator
from segment_anything.modeling import Sam

from schemas.job import Segment
from stages.halving import halving
from stages.models.device import tf32_products
from stages.segment.proposal import Proposal, Proposals
from stages.segment.sam.automatic import AutomaticMasks, Masks


class Proposer:
    """A Sam with a grid of point prompts."""

    def __init__(self, sam: Sam, settings: Segment) -> None:
        """Pictures go side by side, but with crops (`crop_n_layers`) one by one through the library's generator.

        `min_mask_region_area` stays 0: it needs OpenCV, and selection cleans the masks that matter.
        """
        self._automatic = AutomaticMasks(sam, settings)
        self._generator = (
            _Generator(
                sam.eval(),
                points_per_side=settings.points_per_side,
                points_per_batch=settings.points_per_batch,
                pred_iou_thresh=settings.pred_iou_thresh,
                stability_score_thresh=settings.stability_score_thresh,
                crop_n_layers=settings.crop_n_layers,
            )
            if settings.crop_n_layers
            else None
        )

    def ask_at(self, points: NDArray[np.float64]) -> None:
        """From now on prompts at these points [P, 2], x and y from 0 to 1, in place of the grid."""
        self._automatic.grid = points

    def propose(self, picture: NDArray[np.uint8]) -> Proposals:
        """Masks of an RGB picture [side, side, 3]; [] when the model finds nothing good enough."""
        [found] = self.propose_all([picture])
        if isinstance(found, Exception):
            raise found
        return found

    def propose_all(self, pictures: Sequence[NDArray[np.uint8]]) -> Iterator[Proposals | Exception]:
        """For each picture, in order, what `propose` returns or raises. Pictures of one size go side by side.

        Of the whole batch only run lengths are held; masks are unpacked as the caller asks for them.
        """
        if self._generator is not None:
            yield from (self._with_crops(picture) for picture in pictures)
            return
        by_size: dict[tuple[int, ...], list[int]] = {}
        for i, picture in enumerate(pictures):
            by_size.setdefault(picture.shape, []).append(i)
        found: dict[int, Masks | Exception] = {}
        for members in by_size.values():
            found.update(halving(lambda numbers: self._automatic([pictures[i] for i in numbers]), members))
        for i in range(len(pictures)):
            masks = found.pop(i)
            yield masks if isinstance(masks, Exception) else _proposals(masks)

    def _with_crops(self, picture: NDArray[np.uint8]) -> Proposals | Exception:
        assert self._generator is not None
        try:
            with tf32_products(self._generator.predictor.device):
                records = self._generator.generate(picture)
        except Exception as error:
            return error
        return Proposals(
            Proposal(
                np.ascontiguousarray(record["segmentation"], dtype=bool),
                _unit(record["predicted_iou"]),
                _unit(record["stability_score"]),
            )
            for record in records
            if record["area"] > 0
        )


class _Generator(SamAutomaticMaskGenerator):
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


def _proposals(masks: Masks) -> Proposals:
    found = zip(masks.runs.masks(), masks.predicted_iou.tolist(), masks.stability_score.tolist(), strict=True)
    return Proposals(
        (Proposal(mask, _unit(iou), _unit(stability)) for mask, iou, stability in found if mask.any()), masks.nearest
    )


def _unit(value: float) -> float:
    """An estimate as a number from 0 to 1: SAM's regressed IoU may leave it, and an empty mask's stability is NaN."""
    return min(max(value, 0.0), 1.0) if math.isfinite(value) else 0.0

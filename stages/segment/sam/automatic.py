"""Segment Anything's automatic masks, for many pictures at once.

The same masks, in the same order and with the same estimates up to floating-point noise, as the library's
`SamAutomaticMaskGenerator` makes of each picture alone, without crops (`crop_n_layers` 0) and without clean-up
(`min_mask_region_area` 0). Facts from segment_anything/automatic_mask_generator.py. What is different is the cost:

- Pictures go through the encoder together, and prompts of several pictures through one decoder pass (decoder.py).
- A mask whose predicted IoU is too low is dropped before its pixels are made, not after they are enlarged.
- Boxes come from run lengths (runs.py), and only the runs of masks that survive suppression travel to the host.

The library's filter of masks at the edge of a crop has no effect when the only crop is the picture itself: masks at the
edge of the picture stay. Everything is computed in float32, on a GPU with TF32's products.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything.modeling import Sam
from segment_anything.utils.amg import build_point_grid
from segment_anything.utils.transforms import ResizeLongestSide
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops.boxes import batched_nms

from schemas.job import Segment
from stages.models.device import tf32_products
from stages.segment.proposal import Nearest
from stages.segment.sam.decoder import Decoded, decode, point_tokens
from stages.segment.sam.runs import Runs, joined, runs_of

BOX_NMS = 0.7
"""Of masks whose boxes overlap more (IoU), the one with the highest predicted IoU stays: the library's default."""
STABILITY_OFFSET = 1.0
"""Stability is the IoU of the mask with the threshold raised, and lowered, by this: the library's default."""
ATTENTION_NUMBERS = 2**29
"""Attention weights in the encoder at once: 2 GB. Sets how many pictures go through the encoder in one pass."""
PIXELS = 2**24
"""Logits at the picture's size at once: 64 MB."""


@dataclass(frozen=True)
class Masks:
    """Automatic masks of one picture, on the host: highest predicted IoU first.

    predicted_iou, stability_score: float32 [M]. boxes: int64 [M, 4], left, top, right, bottom (inclusive). nearest: the
    highest estimates before any threshold.
    """

    runs: Runs
    predicted_iou: Tensor
    stability_score: Tensor
    boxes: Tensor
    nearest: Nearest


@dataclass(frozen=True)
class _Found:
    """Masks before suppression. order: int64 [M], picture x prompts x 3 + prompt x 3 + mask, as the library counts."""

    order: Tensor
    runs: Runs
    predicted_iou: Tensor
    stability_score: Tensor

    def kept(self, keep: Tensor) -> _Found:
        return _Found(self.order[keep], self.runs.kept(keep), self.predicted_iou[keep], self.stability_score[keep])


class _Near:
    """The highest estimates of each picture, kept on the device until all passes are done."""

    def __init__(self, count: int, each: int, device: torch.device) -> None:
        """count: pictures. each: masks a picture, before any threshold."""
        self._each = each
        self._iou, self._stability = torch.full((2, count), -torch.inf, device=device)

    def decoded(self, start: int, iou: Tensor) -> None:
        """Predicted IoU [n, masks] of the pictures from number `start` on."""
        part = self._iou[start : start + len(iou)]
        torch.maximum(part, iou.amax(1).to(part), out=part)

    def measured(self, order: Tensor, stability: Tensor) -> None:
        """Stability of masks whose predicted IoU was enough; NaN, of an empty mask, counts for nothing."""
        self._stability.scatter_reduce_(
            0, order // self._each, stability.nan_to_num(-torch.inf).to(self._stability), "amax"
        )

    def of_all(self) -> list[Nearest]:
        """Picture by picture, on the host."""
        found = zip(self._iou.tolist(), self._stability.tolist(), strict=True)
        return [Nearest(iou, stability if stability > -torch.inf else None) for iou, stability in found]


class AutomaticMasks:
    """A Sam with a grid of point prompts and thresholds on what it makes of them."""

    def __init__(self, sam: Sam, settings: Segment) -> None:
        self._sam = sam.eval()
        self._settings = settings
        self._resize = ResizeLongestSide(sam.image_encoder.img_size)
        self.grid = build_point_grid(settings.points_per_side)  # [P, 2], x and y from 0 to 1

    @torch.inference_mode()
    def __call__(self, pictures: Sequence[NDArray[np.uint8]]) -> list[Masks]:
        """Masks of RGB pictures [height, width, 3], all of one size. What a picture gets does not depend on others."""
        with tf32_products(self._sam.device):
            return self._masks(pictures)

    def _masks(self, pictures: Sequence[NDArray[np.uint8]]) -> list[Masks]:
        size = pictures[0].shape[:2]
        if any(picture.shape != (*size, 3) for picture in pictures):
            raise ValueError(f"pictures of one size are needed, not {sorted({p.shape for p in pictures})}")
        resized = np.stack([self._resize.apply_image(picture) for picture in pictures])
        embeddings = self._encode(resized)
        shift = self._resize.apply_coords(self.grid * np.array(size[::-1]), size).astype(np.float32)
        tokens = point_tokens(self._sam, torch.from_numpy(shift).to(embeddings.device))
        most = max(1, self._settings.points_per_batch)
        found = []
        near = _Near(len(pictures), 3 * len(self.grid), embeddings.device)
        for start in range(0, len(pictures), most):
            part = embeddings[start : start + most]
            for first in range(0, len(tokens), most // len(part)):
                decoded = decode(self._sam, part, tokens[first : first + most // len(part)])
                near.decoded(start, decoded.predicted_iou.reshape(len(part), -1))
                found += list(self._good(decoded, len(part), start, first, resized.shape[1:3], size, near))
        return self._suppress(found, size, near.of_all())

    def _encode(self, resized: NDArray[np.uint8]) -> Tensor:
        """[I, height, width, 3] -> [I, C, h, w]."""
        encoder, device = self._sam.image_encoder, self._sam.device
        heads, cells = encoder.blocks[0].attn.num_heads, np.prod(self._sam.prompt_encoder.image_embedding_size)
        step = max(1, int(ATTENTION_NUMBERS // (heads * cells**2)))
        pixels = torch.from_numpy(resized).permute(0, 3, 1, 2).to(device)
        return torch.cat([encoder(self._sam.preprocess(part)) for part in pixels.split(step)])

    def _good(
        self,
        decoded: Decoded,
        count: int,
        start: int,
        first: int,
        resized: tuple[int, ...],
        size: tuple[int, ...],
        near: _Near,
    ) -> Iterator[_Found]:
        """Masks of a pass that meet both thresholds: those of `count` pictures from number `start` on, prompts from
        number `first` on."""
        settings, iou = self._settings, decoded.predicted_iou
        good = iou > (settings.pred_iou_thresh or -torch.inf)  # 0 lets everything pass, as in the library
        which = good.nonzero()
        if not len(which):
            return
        logits = decoded.logits(good)  # [n, 4 h, 4 w], in the order of `which`
        each = len(iou) // count
        picture, prompt = start + which[:, 0] // each, first + which[:, 0] % each
        order = (picture * len(self.grid) + prompt) * 3 + which[:, 1]
        step = max(1, PIXELS // (size[0] * size[1]))
        for low, place, estimate in zip(logits.split(step), order.split(step), iou[good].split(step), strict=True):
            yield self._stable(self._enlarge(low, resized, size), place, estimate, near)

    def _stable(self, logits: Tensor, order: Tensor, estimate: Tensor, near: _Near) -> _Found:
        """Logits [n, height, width] -> the masks that meet the stability threshold."""
        limit = self._sam.mask_threshold
        inner, outer = (
            torch.count_nonzero(logits > limit + shift, dim=(1, 2)) for shift in (STABILITY_OFFSET, -STABILITY_OFFSET)
        )
        stability = inner / outer
        near.measured(order, stability)
        if self._settings.stability_score_thresh > 0:
            keep = stability >= self._settings.stability_score_thresh
            logits, order, estimate, stability = logits[keep], order[keep], estimate[keep], stability[keep]
        return _Found(order, runs_of(logits > limit), estimate, stability)

    def _enlarge(self, low: Tensor, resized: tuple[int, ...], size: tuple[int, ...]) -> Tensor:
        """Logits [n, 4 h, 4 w] at the size of the picture, [n, height, width], as the library enlarges them: to the
        model's input, without its padding, then to the picture."""
        side = self._sam.image_encoder.img_size
        low = low[:, None]
        # To twice the picture and back to it is the same as straight to it: the mean of two neighbours of a linear
        # function is its value between them, and neither pair lies across a knot.
        if not size[0] == size[1] == side // 2 == 2 * low.shape[-1] == 2 * low.shape[-2]:
            low = _interpolate(low, (side, side))[..., : resized[0], : resized[1]]
        return _interpolate(low, size)[:, 0]

    def _suppress(self, found: list[_Found], size: tuple[int, ...], nearest: Sequence[Nearest]) -> list[Masks]:
        """Suppression of masks with much the same box, picture by picture in one pass; then everything to the host."""
        if not found:
            device = self._sam.device
            none = torch.zeros(0, device=device)
            found = [_Found(none.long(), Runs(none.int(), none.long(), (size[0], size[1])), none, none)]
        all_ = _Found(
            torch.cat([part.order for part in found]),
            joined([part.runs for part in found]),
            torch.cat([part.predicted_iou for part in found]),
            torch.cat([part.stability_score for part in found]),
        )
        boxes = all_.runs.boxes()
        # Equal scores stay in the library's order, whatever the passes were.
        rank = torch.argsort(all_.order)
        each = 3 * len(self.grid)
        picked = rank[batched_nms(boxes[rank].float(), all_.predicted_iou[rank], all_.order[rank] // each, BOX_NMS)]
        keep = torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
        keep[picked] = True
        order, iou, stability, runs = (
            all_.order[keep].cpu(),
            all_.predicted_iou[keep].cpu(),
            all_.stability_score[keep].cpu(),
            all_.runs.kept(keep),
        )
        boxes, runs = boxes[keep].cpu(), Runs(runs.counts.cpu(), runs.numbers.cpu(), runs.size)
        parts = list(zip(runs.counts.split(runs.numbers.tolist()), runs.numbers, strict=True))
        out = []
        for picture, near in enumerate(nearest):
            mine = (order // each == picture).nonzero()[:, 0]
            mine = mine[torch.argsort(order[mine])]
            mine = mine[torch.argsort(iou[mine], descending=True, stable=True)]
            counts = [parts[i][0] for i in mine.tolist()]
            own = Runs(torch.cat(counts) if counts else runs.counts[:0], runs.numbers[mine], runs.size)
            out.append(Masks(own, iou[mine], stability[mine], boxes[mine], near))
        return out


def _interpolate(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """Bilinear; to the same size it would change nothing."""
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    return F.interpolate(maps, tuple(size), mode="bilinear", align_corners=False)

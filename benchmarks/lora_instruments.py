"""What a seedling picture shows, read without any pretrained judge: which concept, and which background.

Both instruments read the features of the seedling's own VAE encoder, which has seen some 1,300 sprites and none of the
held-out ones that the demo's scenes are made of. Objects are found by the seedling's Segment Anything and the
product's own concept selection. `check` says how well the instruments themselves do; every report prints it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from models.training.backgrounds import BACKGROUNDS, paint
from schemas.job import Segment
from stages.base_loading import BaseModel
from stages.base_model import bundled
from stages.sam_model import load_sam
from stages.segment.proposals import Proposer
from stages.segment.selection import select_concepts

Picture = NDArray[np.uint8]
Mask = NDArray[np.bool_]

SEGMENT = Segment(points_per_side=5, pred_iou_thresh=0.5, stability_score_thresh=0.4)
"""As the demo segments, with fewer points: generated pictures hold one object."""
LONGEST, CELLS = 48, 3
"""Longer side of a cut-out in its 64-pixel canvas; cells along a side in which features are averaged."""
GREY = 128
PAINTED = 16
"""Painted examples of each background that the background reader learns from."""


class Eyes:
    """base: its VAE is read. roster: true (picture, mask) of every concept of the study, in order."""

    def __init__(self, base: BaseModel, roster: Sequence[tuple[Picture, Mask]]) -> None:
        self.base = base
        self.proposer = Proposer(load_sam(bundled("seedling", "sam"), "cpu"), SEGMENT)
        raw = self._cut_outs([cut_out(*concept) for concept in roster])
        self.centre, self.spread = raw.mean(0), raw.std(0) + 1e-6
        self.roster = self._standard(raw)
        self._learn_backgrounds()

    def find(self, picture: Picture) -> list[Mask]:
        """The objects of a picture, best first; [] if there is none."""
        return [np.asarray(c.mask) for c in select_concepts(self.proposer.propose(picture), SEGMENT).concepts]

    def concept(self, picture: Picture, mask: Mask) -> Tensor:
        """Similarity of one object to every concept of the roster: [concepts], cosine of standardised features.

        Standardised over the roster, so what all sprites share counts nothing: another sprite lies about 0. The
        better of the object and its mirror image counts, since training flips.
        """
        canvas = cut_out(picture, mask)
        found = self._standard(self._cut_outs([canvas, canvas[:, ::-1]]))
        return functional.cosine_similarity(found[:, None], self.roster[None], dim=-1).amax(0)

    def likest(self, picture: Picture, masks: Sequence[Mask], wanted: int) -> tuple[float, bool]:
        """Of the picture's objects the one most like concept `wanted`: its similarity, and whether `wanted` is its
        nearest concept of all. A picture without objects is (0, False).
        """
        rows = [self.concept(picture, mask) for mask in masks]
        if not rows:
            return 0.0, False
        best = max(rows, key=lambda row: float(row[wanted]))
        return float(best[wanted]), int(best.argmax()) == wanted

    def background(self, picture: Picture, masks: Sequence[Mask]) -> int:
        """Index into BACKGROUNDS of the likeliest background, read outside the picture's objects."""
        outside = ~np.logical_or.reduce(masks) if masks else np.ones(picture.shape[:2], dtype=bool)
        return int((self._ground(picture, outside) @ self.weights).argmax())

    @torch.no_grad()
    def _features(self, pictures: Sequence[Picture]) -> Tensor:
        """[n, channels, h, w]: the encoder's middle, before it is squeezed into latents."""
        found: list[Tensor] = []
        hook = self.base.vae.encoder.mid_block.register_forward_hook(lambda _m, _i, out: found.append(out))
        stack = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
        self.base.vae.encode(stack)
        hook.remove()
        return found[0].float()

    def _cut_outs(self, canvases: Sequence[Picture]) -> Tensor:
        return functional.adaptive_avg_pool2d(self._features(canvases), CELLS).flatten(1)

    def _standard(self, raw: Tensor) -> Tensor:
        return (raw - self.centre) / self.spread

    def _ground(self, picture: Picture, outside: Mask) -> Tensor:
        """[2 * channels + 1]: mean and spread of the features outside the objects, and 1."""
        features = self._features([picture])[0].flatten(1)
        side = int(features.shape[1] ** 0.5)
        kept = functional.adaptive_avg_pool2d(torch.from_numpy(outside)[None].float(), side)[0].flatten() > 0.9
        features = features[:, kept] if kept.sum() > 8 else features
        return torch.cat([features.mean(1), features.std(1), torch.ones(1)])

    def _learn_backgrounds(self) -> None:
        """Ridge regression on one-hot backgrounds, from painted grounds without any object."""
        rng, everywhere = np.random.default_rng(0), np.ones((self.base.side, self.base.side), dtype=bool)
        labels = torch.arange(len(BACKGROUNDS)).repeat_interleave(PAINTED)
        rows = torch.stack([self._ground(painted(int(i), self.base.side, rng), everywhere) for i in labels])
        scale = rows.std(0).clamp_min(1e-3)
        scale[-1] = 1.0
        rows = rows / scale
        gram = rows.mT @ rows + 1.0 * torch.eye(rows.shape[1])
        wanted = functional.one_hot(labels).float()
        self.weights = torch.linalg.solve(gram, rows.mT @ wanted) / scale[:, None]


def painted(index: int, side: int, rng: np.random.Generator) -> Picture:
    """Background `index` alone, uint8 [side, side, 3]."""
    return (paint(index, side, side, rng) * 255 + 0.5).astype(np.uint8)


def cut_out(picture: Picture, mask: Mask) -> Picture:
    """The object alone, in the middle of a grey canvas of the picture's size, its longer side LONGEST / 64 of it."""
    side = picture.shape[0]
    rows, columns = np.nonzero(mask)
    box = (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
    alone = np.where(mask[..., None], picture, GREY).astype(np.uint8)
    ratio = side * LONGEST / 64 / max(box[2] - box[0], box[3] - box[1])
    size = (max(1, round((box[2] - box[0]) * ratio)), max(1, round((box[3] - box[1]) * ratio)))
    canvas = Image.new("RGB", (side, side), (GREY,) * 3)
    canvas.paste(Image.fromarray(alone).resize(size, Image.Resampling.BILINEAR, box=box),
                 ((side - size[0]) // 2, (side - size[1]) // 2))
    return np.asarray(canvas)


@torch.no_grad()
def check(eyes: Eyes, roster: Sequence[tuple[Picture, Mask]]) -> dict[str, float]:
    """What the instruments say where the truth is known: every concept at another size and place, on another
    background, through the autoencoder as every generated picture is.

    same, other, noise: mean similarity to the concept itself, to the others, of noise to a concept; nearest: share
    whose nearest concept is the right one; background: share of the pictures' backgrounds read right.
    """
    rng, side, base = np.random.default_rng(1), eyes.base.side, eyes.base
    same, other, noise, nearest, ground = [], [], [], [], []
    for number, (picture, mask) in enumerate(roster):
        size, place = int(rng.integers(round(0.62 * side), round(0.88 * side))), int(rng.integers(len(BACKGROUNDS)))
        top, left = rng.integers(0, side - size + 1, 2)
        cover = Image.new("L", (side, side))
        cover.paste(Image.fromarray(mask).convert("L").resize((size, size), Image.Resampling.BILINEAR), (left, top))
        front = Image.new("RGB", (side, side))
        front.paste(Image.fromarray(picture).resize((size, size), Image.Resampling.BILINEAR), (left, top))
        moved = Image.composite(front, Image.fromarray(painted(place, side, rng)), cover)
        pixels = torch.from_numpy(np.asarray(moved).copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
        decoded = base.vae.decode(base.vae.encode(pixels).latent_dist.mean).sample[0]
        seen = ((decoded / 2 + 0.5).clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
        masks = eyes.find(seen)
        similarity, right = eyes.likest(seen, masks, number)
        same.append(similarity)
        nearest.append(right)
        ground.append(eyes.background(seen, masks) == place)
        other.append(eyes.likest(seen, masks, (number + 1) % len(roster))[0])
        static = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
        noise.append(float(eyes.concept(static, mask)[number]))
    return {name: float(np.mean(values)) for name, values in (
        ("same", same), ("other", other), ("noise", noise), ("nearest", nearest), ("background", ground))}

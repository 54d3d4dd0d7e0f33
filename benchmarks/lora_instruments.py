"""What a seedling picture shows: which concept, and which background, as the seedling's own judge sees it.

The judge is a CLIP that knows what is held out and never draws. Objects are found by the seedling's Segment Anything
and the product's own concept selection. `check` says how well the instruments themselves do; every report prints it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from models.training.world.places.backgrounds import BACKGROUNDS, paint
from models.training.world.placing import defocused
from models.training.world.world import ToySettings
from schemas.job import Segment
from stages.masks.views import on_black
from stages.models.base.base_model import BaseModel
from stages.models.clip import load_clip
from stages.models.place import bundled
from stages.models.sam import load_sam
from stages.segment.sam.proposer import Proposer
from stages.segment.selection import select_concepts

Picture = NDArray[np.uint8]
Mask = NDArray[np.bool_]

SEGMENT = Segment(points_per_side=5, pred_iou_thresh=0.5, stability_score_thresh=0.4)
"""As the demo segments, with fewer points: generated pictures hold one object."""


class Eyes:
    """base: `check` looks through its VAE. roster: true (picture, mask) of every concept of the study, in order."""

    def __init__(self, base: BaseModel, roster: Sequence[tuple[Picture, Mask]]) -> None:
        self.base = base
        self.proposer = Proposer(load_sam(bundled("seedling", "models.sam"), "cpu"), SEGMENT)
        self.clip = load_clip("seedling", "cpu", torch.float32)
        self.roster = self.clip.image_features(np.stack([on_black(*concept) for concept in roster]))
        self.places = self.clip.text_features([f"a photo {place.phrases[0]}" for place in BACKGROUNDS])

    def find(self, picture: Picture) -> list[Mask]:
        """The objects of a picture, best first; [] if there is none."""
        return [np.asarray(c.mask) for c in select_concepts(self.proposer.propose(picture), SEGMENT).concepts]

    def concept(self, picture: Picture, mask: Mask) -> Tensor:
        """Identity similarity of one object, black around it, to every concept of the roster: [concepts].

        The better of the object and its mirror image counts, since training flips.
        """
        alone = on_black(picture, mask)
        return (self.clip.image_features(np.stack([alone, alone[:, ::-1]])) @ self.roster.T).amax(0)

    def likest(self, picture: Picture, masks: Sequence[Mask], wanted: int) -> tuple[float, bool]:
        """Of the picture's objects the one most like concept `wanted`: its similarity, and whether `wanted` is its
        nearest concept of all. A picture without objects is (0, False).
        """
        rows = [self.concept(picture, mask) for mask in masks]
        if not rows:
            return 0.0, False
        best = max(rows, key=lambda row: float(row[wanted]))
        return float(best[wanted]), int(best.argmax()) == wanted

    def background(self, picture: Picture) -> int:
        """Index into BACKGROUNDS of the likeliest background, zero-shot."""
        return int((self.clip.image_features(picture[None]) @ self.places.T).argmax())


def painted(index: int, side: int, rng: np.random.Generator) -> Picture:
    """Background `index` alone as scenes show it, uint8 [side, side, 3]."""
    ground = defocused(paint(index, side, side, rng), ToySettings.defocus)
    return (ground * 255 + 0.5).astype(np.uint8)


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
        ground.append(eyes.background(seen) == place)
        other.append(eyes.likest(seen, masks, (number + 1) % len(roster))[0])
        static = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
        noise.append(float(eyes.concept(static, mask)[number]))
    return {
        name: float(np.mean(values))
        for name, values in (
            ("same", same),
            ("other", other),
            ("noise", noise),
            ("nearest", nearest),
            ("background", ground),
        )
    }

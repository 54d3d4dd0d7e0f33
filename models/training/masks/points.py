"""How good the mask model's answers to single points are: the measure of training and of the model card."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from segment_anything.modeling import Sam

from models.training.masks.answers import answers
from models.training.masks.losses import true_iou
from models.training.masks.prompts import OBJECT_POINTS, LabelledScenes, Mix, draw_prompts


@dataclass(frozen=True)
class PointScore:
    """Of one point an object. best: mean IoU of the best of three masks; top: of the one that the model rates highest;
    good: share of objects with a best IoU of 0.75 or more; off: mean error of the predicted IoUs."""

    best: float
    top: float
    good: float
    off: float

    def __str__(self) -> str:
        return f"best {self.best:.3f} top {self.top:.3f} good {self.good:.3f} off {self.off:.3f}"


@torch.no_grad()
def point_score(
    sam: Sam, scenes: LabelledScenes, seed: int = 0, per_scene: int = 2, batch: int = 64, mix: Mix = OBJECT_POINTS
) -> PointScore:
    """`per_scene` random visible points of objects, as `mix` says, in each scene that has any. Raises RuntimeError
    where none has."""
    generator = torch.Generator(scenes.labels.device).manual_seed(seed)
    rows = []
    for part in (scenes.labels.flatten(1) > 0).any(1).nonzero()[:, 0].split(batch):
        prompts = draw_prompts(scenes.labels[part], per_scene, generator, mix)
        logits, quality, _ = answers(sam, scenes.images[part], prompts)
        iou, quality = true_iou(logits, prompts.masks)[:, 1:], quality[:, 1:]
        best, top = iou.max(1).values, iou.gather(1, quality.argmax(1, keepdim=True))[:, 0]
        rows.append(torch.stack([best, top, (best >= 0.75).float(), (quality - iou).abs().mean(1)], 1))
    return PointScore(*torch.cat(rows).mean(0).tolist())

"""What judging one variation costs beside looking for things in it, from the judges' configurations alone: for
`unscene plan`. No weights are loaded, and of a model on the Hub only its config.json is fetched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPVisionConfig, CLIPVisionModel, Dinov2Config, Dinov2Model, ViTConfig, ViTModel

from schemas.job import JobSpec
from stages.models.judge_files import judge_kind
from stages.models.place import ModelField, read_json

MORE_VIEWS = 2
"""The identity judge sees each thing found, what no mask covers, and the whole picture."""


@dataclass(frozen=True)
class JudgeCost:
    """prompt: TFLOP for one picture by models.clip; view: for one view by models.identity; weights: how many both
    have, without the text tower."""

    prompt: float
    view: float
    weights: int

    def picture(self, things: float) -> float:
        """TFLOP for one variation in which so many things are found."""
        return self.prompt + (things + MORE_VIEWS) * self.view


def judge_cost(spec: JobSpec) -> JudgeCost:
    """Of the judges that `models` names; the prompts' texts are left out (one of a few words a picture).

    Raises SpecError where a judge is not there.
    """
    clip, clip_weights = _tower(spec.models.clip, "models.clip")
    if spec.models.identity == spec.models.clip:
        return JudgeCost(clip, clip, clip_weights)
    identity, weights = _tower(spec.models.identity, "models.identity")
    return JudgeCost(clip, identity, clip_weights + weights)


def _tower(name: str, field: ModelField) -> tuple[float, int]:
    """TFLOP of one picture through the picture encoder, and its weights."""
    kind, config = judge_kind(name, field), read_json(name, "config.json", field)
    model: Any
    with torch.device("meta"):
        if kind == "clip":
            model = CLIPVisionModel(CLIPVisionConfig(**config.get("vision_config", {})))
        elif kind == "vit":
            model = ViTModel(ViTConfig(**config), add_pooling_layer=False)
        else:
            model = Dinov2Model(Dinov2Config(**config))
    side = model.config.image_size
    height, width = (side, side) if isinstance(side, int) else side
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model.eval()(pixel_values=torch.empty(1, 3, height, width, device="meta"))
    return counter.get_total_flops() / 1e12, sum(p.numel() for p in model.parameters())

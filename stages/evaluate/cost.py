"""What judging a scene's variations costs, from the models' configurations alone: for `unscene plan`. No weights are
loaded, and of a model on the Hub only its config.json is fetched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import CLIPVisionConfig, CLIPVisionModel, Dinov2Config, Dinov2Model, ViTConfig, ViTModel

from schemas.job import JobSpec
from stages.evaluate.reference import MOST_VIEWS
from stages.models.flops import Call, FlopCount
from stages.models.judge_files import judge_kind
from stages.models.place import ModelField, read_json

MORE_VIEWS = 2
"""The identity judge sees each thing found, what no mask covers, and the whole picture."""


@dataclass(frozen=True)
class JudgeCost:
    """picture: TFLOP for one picture by models.clip; view: for one view by models.identity; weights: how many both
    have, without the text tower."""

    picture: float
    view: float
    weights: int

    def calls(self, spec: JobSpec, pictures: int, concepts: int, find: Sequence[Call]) -> tuple[Call, ...]:
        """What one scene asks for, with as many things found in each of its pictures as it has concepts. find: to look
        for things in one picture.

        The prompts' texts are left out: a few words each, read once a batch.
        """
        if not pictures:
            return ()
        views = pictures * (concepts + MORE_VIEWS)
        own = concepts * (1 + (MOST_VIEWS if spec.evaluate.found_at == "auto" else 0))
        return (
            *(replace(call, times=pictures * call.times) for call in find),
            Call("models.clip, a picture", pictures, self.picture),
            Call("models.identity, a view of a picture", views, self.view),
            Call("models.identity, the scene's own concepts and its ground", own, self.view),
        )


def judge_cost(spec: JobSpec) -> JudgeCost:
    """Of the judges that `models` names. Raises SpecError where a judge is not there."""
    clip, clip_weights = clip_cost(spec)
    if spec.models.identity == spec.models.clip:
        return JudgeCost(clip, clip, clip_weights)
    identity, weights = _tower(spec.models.identity, "models.identity")
    return JudgeCost(clip, identity, clip_weights + weights)


def clip_cost(spec: JobSpec) -> tuple[float, int]:
    """TFLOP of one picture through the picture encoder of models.clip, and its weights. Raises SpecError."""
    return _tower(spec.models.clip, "models.clip")


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
    with FlopCount() as count, torch.no_grad():
        model.eval()(pixel_values=torch.empty(1, 3, height, width, device="meta"))
    return count.forward / 1e12, sum(p.numel() for p in model.parameters())

"""Loading a model that tells whether two pictures show the same thing: DINO, DINOv2, or a CLIP's picture encoder.

A DINO's feature is its CLS token after the last norm, as the paper's identity similarity takes it.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from transformers import AutoImageProcessor, Dinov2Model, ViTModel

from stages.models.clip import BATCH, UNREADABLE, ClipJudge, load_clip, load_weights, pixel_values, seen_size, unusable
from stages.models.judge_files import check_size, judge_kind
from stages.models.place import ModelField, locate

FIELD: ModelField = "models.identity"


class IdentityJudge(Protocol):
    """What `load_identity` returns."""

    def features(self, pictures: NDArray[np.uint8]) -> Tensor:
        """pictures: uint8 [n, h, w, 3], any size; returns float32 [n, d] on the CPU, unit length: a product of two is
        the identity similarity."""


class DinoJudge:
    """A ViTModel or Dinov2Model by its CLS token."""

    def __init__(self, model: ViTModel | Dinov2Model, processor: Any) -> None:
        self.model, self.processor = model, processor

    @torch.inference_mode()
    def features(self, pictures: NDArray[np.uint8]) -> Tensor:
        """See `IdentityJudge`."""
        found = []
        for start in range(0, len(pictures), BATCH):
            pixels = pixel_values(self.processor, pictures[start : start + BATCH])
            states = self.model(pixel_values=pixels.to(self.model.device, self.model.dtype)).last_hidden_state
            found.append(functional.normalize(states[:, 0].float(), dim=-1))
        return torch.cat(found).cpu() if found else torch.zeros(0, self.model.config.hidden_size)


class ClipIdentityJudge:
    """A CLIP's picture encoder, projected."""

    def __init__(self, clip: ClipJudge) -> None:
        self.clip = clip

    def features(self, pictures: NDArray[np.uint8]) -> Tensor:
        """See `IdentityJudge`."""
        return self.clip.image_features(pictures)


def load_identity(name: str, device: str = "cpu", dtype: torch.dtype = torch.float32) -> IdentityJudge:
    """The model `name`: `seedling`, a directory, or a Hugging Face id such as facebook/dino-vitb16,
    facebook/dinov2-base or openai/clip-vit-large-patch14.

    safetensors only. Raises a SpecError that names models.identity and the remedy when it is none of these.
    """
    place, kind = locate(name, FIELD), judge_kind(name, FIELD)
    if kind == "clip":
        return ClipIdentityJudge(load_clip(name, device, dtype, FIELD))
    if kind == "vit":  # DINO's checkpoints have no pooler, and nothing here reads one
        model = load_weights(ViTModel, place, name, FIELD, dtype, add_pooling_layer=False)
    else:
        model = load_weights(Dinov2Model, place, name, FIELD, dtype)
    try:
        processor = AutoImageProcessor.from_pretrained(place)
    except UNREADABLE as error:
        raise unusable(name, FIELD, error) from error
    if kind == "vit":  # a DINOv2 stretches its positions over a picture of any size
        check_size(name, FIELD, seen_size(processor), model.config.image_size)
    return DinoJudge(model.to(device).eval().requires_grad_(False), processor)

"""Loading a CLIP that scores pictures against prompts: the seedling's, a directory, or one of the Hub by name.

transformers' own classes and the model's own image processor, so a score here is the score that CLIP's users compute.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional
from transformers import AutoImageProcessor, CLIPModel, CLIPTokenizer

from schemas.errors import SpecError
from stages.models.judge_files import check_size, check_words, judge_kind
from stages.models.place import REMEDY, ModelField, locate
from stages.models.whole import check_report

UNREADABLE = (OSError, ValueError, RuntimeError, KeyError, TypeError, ImportError, SafetensorError)
"""What the libraries raise of a model that they cannot make anything of."""
BATCH = 64
"""Pictures or texts at a time; it bounds memory and changes no result."""


class ClipJudge:
    """A loaded CLIP. Features are unit vectors, so that a product of two is their cosine similarity."""

    def __init__(self, model: CLIPModel, processor: Any, tokenizer: CLIPTokenizer) -> None:
        self.model, self.processor, self.tokenizer = model, processor, tokenizer
        config: Any = model.config  # its fields are optional to the type checker, and set in every CLIP
        self._length = min(tokenizer.model_max_length, config.text_config.max_position_embeddings)
        self._width = int(config.projection_dim)

    @torch.inference_mode()
    def image_features(self, pictures: NDArray[np.uint8]) -> Tensor:
        """pictures: uint8 [n, h, w, 3], any size; returns float32 [n, d] on the CPU, unit length."""
        found = [
            functional.normalize(self.model.visual_projection(self._see(pictures[i : i + BATCH])).float(), dim=-1)
            for i in range(0, len(pictures), BATCH)
        ]
        return torch.cat(found).cpu() if found else torch.zeros(0, self._width)

    @torch.inference_mode()
    def text_features(self, texts: list[str]) -> Tensor:
        """Returns float32 [len(texts), d] on the CPU, unit length; a text too long for the model is cut."""
        found = [
            functional.normalize(self.model.text_projection(self._read(texts[i : i + BATCH])).float(), dim=-1)
            for i in range(0, len(texts), BATCH)
        ]
        return torch.cat(found).cpu() if found else torch.zeros(0, self._width)

    def _see(self, pictures: NDArray[np.uint8]) -> Tensor:
        pixels = pixel_values(self.processor, pictures).to(self.model.device, self.model.dtype)
        return self.model.vision_model(pixel_values=pixels).pooler_output

    def _read(self, texts: list[str]) -> Tensor:
        inputs = self.tokenizer(texts, padding=True, truncation=True, max_length=self._length, return_tensors="pt")
        return self.model.text_model(
            input_ids=inputs.input_ids.to(self.model.device), attention_mask=inputs.attention_mask.to(self.model.device)
        ).pooler_output


def load_clip(
    name: str, device: str = "cpu", dtype: torch.dtype = torch.float32, field: ModelField = "models.clip"
) -> ClipJudge:
    """The CLIP `name`: `seedling`, a directory, or a Hugging Face id such as openai/clip-vit-large-patch14.

    safetensors only. Raises a SpecError that names `field` and the remedy when it is no CLIP.
    """
    place = locate(name, field)
    judge_kind(name, field)
    model = load_weights(CLIPModel, place, name, field, dtype)
    try:
        processor = AutoImageProcessor.from_pretrained(place)
        tokenizer = CLIPTokenizer.from_pretrained(place)
    except UNREADABLE as error:
        raise unusable(name, field, error) from error
    config: Any = model.config
    check_words(name, field, tokenizer.get_vocab(), config.text_config.vocab_size)
    check_size(name, field, seen_size(processor), config.vision_config.image_size)
    return ClipJudge(model.to(device).eval().requires_grad_(False), processor, tokenizer)


def load_weights(kind: type[Any], place: str, name: str, field: ModelField, dtype: torch.dtype, **settings: Any) -> Any:
    """`kind.from_pretrained`, refusing a checkpoint that leaves some of the model's weights as they were drawn, or
    holds some that the model leaves out."""
    try:
        model, told = kind.from_pretrained(
            place,
            dtype=dtype,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # told in the report, and refused here in one sentence
            **settings,
        )
    except UNREADABLE as error:
        raise unusable(name, field, error) from error
    check_report(told, kind.__name__, name, field, REMEDY[field], [child for child, _ in model.named_children()])
    return model


def seen_size(processor: Any) -> tuple[int, int]:
    """Height and width of what the processor makes of a picture; of one that is not square, so that it shows."""
    shape = pixel_values(processor, np.zeros((1, 40, 56, 3), np.uint8)).shape
    return int(shape[2]), int(shape[3])


def unusable(name: str, field: ModelField, error: Exception) -> SpecError:
    """The one sentence for a model that does not load."""
    reason = (str(error).strip().splitlines() or [""])[0][:200]
    return SpecError(f"{field}: {name} could not be loaded ({type(error).__name__}: {reason}); {REMEDY[field]}")


def pixel_values(processor: Any, pictures: NDArray[np.uint8]) -> Tensor:
    """What the model's own image processor makes of uint8 [n, h, w, 3]: float32 [n, 3, side, side]."""
    return processor(images=list(pictures), input_data_format="channels_last", return_tensors="pt").pixel_values

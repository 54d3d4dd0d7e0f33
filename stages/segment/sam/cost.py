"""What looking for things in one picture costs, from a Segment Anything's sizes alone: for `unscene plan`. No weights
are loaded.

Counted on the meta device (`stages/models/flops.py`), through the very functions that work (automatic.py, decoder.py);
with crops through the library's decoder, which copies a picture's embedding for each prompt.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from segment_anything import sam_model_registry
from segment_anything.modeling import Sam

from schemas.errors import SpecError
from schemas.job import Segment
from stages.models.flops import Call, FlopCount
from stages.models.headers import read_header
from stages.models.place import ModelField, locate, read_json
from stages.models.sam import KIND_OF_WIDTH, build_sam, downloaded
from stages.models.sam_files import FIELD, FIRST
from stages.segment.sam.automatic import ATTENTION_NUMBERS
from stages.segment.sam.decoder import decode

PICTURES = 4
"""Pictures that the segment stage gives at a time."""
HELD = 4
"""Copies of a picture's embedding for each prompt of a pass that the decoder holds at once, masks among them."""
LARGEST = "vit_h"
"""What a checkpoint is taken to be whose size neither its name nor its bytes tell."""
KIND_OF_BYTES = ((600e6, "vit_b"), (1.9e9, "vit_l"))
"""Official kinds by the size of their files (0.38, 1.25, 2.56 GB): up to so many bytes it is that one."""


@dataclass(frozen=True)
class SamCost:
    """field: of the spec, that names it; kind: which one it is counted as; certain: whether that is known. encoder,
    grid: TFLOP of one picture through the image encoder, and of all its prompts, with masks of every prompt (those
    whose predicted IoU is too low cost less).
    prompts: of one pass; pictures: passes through both, more than one with crops. weights: how many there are. memory:
    about the least that it takes at work, in bytes."""

    field: ModelField
    kind: str
    certain: bool
    encoder: float
    grid: float
    prompts: int
    pictures: int
    weights: int
    memory: float

    @property
    def tflop(self) -> float:
        """One picture of the source or of generate."""
        return sum(call.total for call in self.calls)

    @property
    def calls(self) -> tuple[Call, ...]:
        """For one picture of the source or of generate."""
        return (
            Call(f"{self.field}, encoder", self.pictures, self.encoder, "tf32"),
            Call(
                f"{self.field}, prompts with their masks",
                self.pictures * self.prompts,
                self.grid / self.prompts,
                "prompts",
            ),
        )


def sam_cost(name: str, settings: Segment, field: ModelField = FIELD) -> SamCost:
    """Of the model that a field names, with the grid of these settings. Nothing is downloaded. Raises SpecError."""
    sam, kind, certain = meta_sam(name, field)
    side, prompts = sam.image_encoder.img_size, settings.points_per_side**2
    with torch.no_grad():
        with FlopCount() as encoder:
            embedding = sam.image_encoder(torch.empty(1, 3, side, side, device="meta"))
        at_once = max(1, min(prompts, settings.points_per_batch))
        with FlopCount() as one_pass:
            _decode(sam, embedding, at_once, shared=not settings.crop_n_layers)
    weights = sum(p.numel() for p in sam.parameters())
    return SamCost(
        field,
        kind,
        certain,
        encoder.forward / 1e12,
        one_pass.forward / at_once * prompts / 1e12,
        prompts,
        sum(4**layer for layer in range(settings.crop_n_layers + 1)),
        weights,
        4.0 * (weights + _attention(sam) + HELD * at_once * embedding[0].numel()),
    )


def _attention(sam: Sam) -> int:
    """Numbers of attention in one layer of the encoder: its weights before the softmax and after."""
    heads, cells = sam.image_encoder.blocks[0].attn.num_heads, math.prod(sam.prompt_encoder.image_embedding_size)
    at_once = max(1, min(PICTURES, ATTENTION_NUMBERS // (heads * cells**2)))
    return 2 * at_once * heads * cells**2


def _decode(sam: Sam, embedding: torch.Tensor, prompts: int, shared: bool) -> None:
    """`prompts` points on one picture, and the low-resolution masks of all of them."""
    width = embedding.shape[1]
    tokens = torch.empty(prompts, 2, width, device="meta")
    if shared:
        decode(sam, embedding, tokens).enlarged(torch.empty(prompts, dtype=torch.long, device="meta"))
        return
    sam.mask_decoder(
        image_embeddings=embedding,
        image_pe=sam.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=tokens,
        dense_prompt_embeddings=torch.empty(prompts, *embedding.shape[1:], device="meta"),
        multimask_output=True,
    )


def meta_sam(name: str, field: ModelField = FIELD) -> tuple[Sam, str, bool]:
    """The model without weights, what it is, and whether that is known. Raises SpecError."""
    place = downloaded(name) or locate(name, field)
    with torch.device("meta"):
        if Path(place).is_dir():
            return build_sam(read_json(place, "config.json", field)).eval(), name, True
        kind = _kind(place)
        return sam_model_registry[kind or LARGEST](checkpoint=None).eval(), kind or LARGEST, kind is not None


def _kind(place: str) -> str | None:
    """vit_b, vit_l or vit_h: by the weights' shapes where they can be had, by name, or by the size of the file."""
    path = Path(place)
    if path.suffix == ".safetensors" and path.is_file():
        try:
            header = read_header(path, place, FIELD)
        except SpecError:
            return None
        shape = next((shape for key, shape in header.items() if key.endswith(FIRST)), None)
        if shape is not None:
            return KIND_OF_WIDTH.get(shape[0])
    if found := re.search(r"vit_[blh]", path.name):
        return found[0]
    if path.is_file():
        size = path.stat().st_size
        return next((kind for most, kind in KIND_OF_BYTES if size <= most), LARGEST)
    return None

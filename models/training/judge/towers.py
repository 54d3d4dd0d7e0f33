"""A CLIP small enough to be trained here: what it is built of, its towers as functions, how it is written to disk."""

from __future__ import annotations

import json
import math
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from models.training.configs import forget_paths
from models.training.judge.losses import normalised
from models.training.progress import Average

MEAN = STD = 0.5
"""Of pixel values in 0..1, every channel."""


@dataclass(frozen=True)
class ClipSize:
    """How large the two towers are. side, patch: pixels; width, layers: the picture encoder's; text_width, text_layers:
    the text encoder's, whose width is that of the features too; heads: in every layer."""

    side: int
    patch: int
    width: int
    layers: int
    text_width: int
    text_layers: int
    heads: int


def build_clip(tokenizer: CLIPTokenizer, size: ClipSize) -> CLIPModel:
    """An untrained CLIPModel of this vocabulary."""
    return CLIPModel(
        CLIPConfig(
            projection_dim=size.text_width,
            vision_config={
                "image_size": size.side, "patch_size": size.patch, "hidden_size": size.width,
                "intermediate_size": 3 * size.width, "num_hidden_layers": size.layers,
                "num_attention_heads": size.heads, "projection_dim": size.text_width,
            },
            text_config={
                "vocab_size": len(tokenizer), "hidden_size": size.text_width,
                "intermediate_size": 3 * size.text_width, "num_hidden_layers": size.text_layers,
                "num_attention_heads": size.heads, "projection_dim": size.text_width,
                "max_position_embeddings": tokenizer.model_max_length, "bos_token_id": tokenizer.bos_token_id,
                "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id,
            },
        )
    )  # fmt: skip


@torch.no_grad()
def place_patches(model: CLIPModel, size: float = 0.25) -> None:
    """Start the picture encoder's positions as sines and cosines of row and column, as large as what a patch gives.

    As Beyer et al. 2022, "Better plain ViT baselines", have them; CLIP draws them at random, a sixteenth as large as
    what a patch gives. In the first 120 steps it made no difference that could be seen. size: of the waves.
    """
    table = model.vision_model.embeddings.position_embedding.weight  # [1 + patches, width], the class token's first
    side, quarter = math.isqrt(len(table) - 1), table.shape[1] // 4
    waves = torch.arange(side)[:, None] / 10 ** (torch.arange(quarter) / quarter)
    rows, columns = waves[:, None].expand(-1, side, -1), waves[None].expand(side, -1, -1)
    placed = torch.cat([rows.sin(), rows.cos(), columns.sin(), columns.cos()], 2)
    table[1:, : 4 * quarter] = size * placed.flatten(0, 1)


class Towers(nn.Module):
    """The two encoders as functions to unit vectors; pictures come in 0..1.

    precision: the context to compute in; bfloat16 on a GPU and float32 elsewhere where it is None.
    """

    def __init__(self, model: CLIPModel, device: str, precision: torch.autocast | None = None) -> None:
        super().__init__()
        self.model = model.to(device)
        kind = torch.device(device).type
        self._precision = precision or torch.autocast(kind, torch.bfloat16, enabled=kind == "cuda")

    def pictures(self, batch: Tensor) -> Tensor:
        """batch: [b, 3, h, w] in 0..1; returns [b, d]."""
        return self.pictures_and_patches(batch)[0]

    def pictures_and_patches(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """The same, and what the picture encoder makes of each patch: [b, width, rows, columns]."""
        with self._precision:
            seen = self.model.vision_model(pixel_values=(batch - MEAN) / STD)
            patches = seen.last_hidden_state[:, 1:].mT  # the class token comes first
            side = math.isqrt(patches.shape[-1])
            return normalised(self.model.visual_projection(seen.pooler_output)), patches.unflatten(2, (side, side))

    def captions(self, ids: Tensor) -> Tensor:
        """ids: int [b, length]; returns [b, d]."""
        with self._precision:
            pooled = self.model.text_model(input_ids=ids.long()).pooler_output
            return normalised(self.model.text_projection(pooled))


def export(model: CLIPModel, average: Average, tokenizer_folder: Path, folder: Path) -> None:
    """Write the averaged weights, fp16, with tokenizer and image processor, swapping `folder` in whole."""
    part, old = folder.with_name(folder.name + ".part"), folder.with_name(folder.name + ".old")
    for leftover in (part, old):
        shutil.rmtree(leftover, ignore_errors=True)
    shutil.copytree(tokenizer_folder, part)
    fresh = CLIPModel(model.config)
    average.copy_to(fresh)
    fresh.half().save_pretrained(part, safe_serialization=True)
    forget_paths(part)
    side = model.config.vision_config.image_size
    processor = {
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": True, "size": {"shortest_edge": side}, "resample": 3,
        "do_center_crop": True, "crop_size": {"height": side, "width": side},
        "do_rescale": True, "rescale_factor": 1 / 255,
        "do_normalize": True, "image_mean": [MEAN] * 3, "image_std": [STD] * 3,
        "do_convert_rgb": True,
    }  # fmt: skip
    (part / "preprocessor_config.json").write_text(json.dumps(processor, indent=2) + "\n", encoding="utf-8")
    if folder.exists():
        os.rename(folder, old)
    os.rename(part, folder)
    shutil.rmtree(old, ignore_errors=True)

"""Random tiny models that judge pictures, saved as the real ones are: CLIP, DINO (ViT) and DINOv2."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import (
    BitImageProcessor,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    Dinov2Config,
    Dinov2Model,
    ViTConfig,
    ViTImageProcessor,
    ViTModel,
)

from tests.support.tiny_models import MAX_LENGTH, build_tokenizer

SIDE = 32


def build_tiny_clip(folder: Path, seed: int = 0) -> Path:
    """A CLIPModel of 32x32 pictures with its tokenizer and image processor."""
    tokenizer = build_tokenizer()
    shape = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "projection_dim": 24,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = CLIPModel(
            CLIPConfig(
                projection_dim=24,
                vision_config=shape | {"image_size": SIDE, "patch_size": 8},
                text_config=shape
                | {
                    "vocab_size": len(tokenizer),
                    "max_position_embeddings": MAX_LENGTH,
                    "bos_token_id": tokenizer.bos_token_id,
                    "eos_token_id": tokenizer.eos_token_id,
                    "pad_token_id": tokenizer.pad_token_id,
                },
            )
        )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    return folder


def build_tiny_dino(folder: Path, seed: int = 0) -> Path:
    """A ViTModel without pooler, as facebook/dino-vitb16 is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ViTModel(
            ViTConfig(
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=2,
                image_size=SIDE,
                patch_size=8,
            ),
            add_pooling_layer=False,
        )
    model.save_pretrained(folder)
    ViTImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    return folder


def build_tiny_dinov2(folder: Path, seed: int = 0) -> Path:
    """A Dinov2Model, whose processor crops the centre, as facebook/dinov2-base is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Dinov2Model(
            Dinov2Config(
                hidden_size=32, mlp_ratio=2, num_hidden_layers=2, num_attention_heads=2, image_size=SIDE, patch_size=8
            )
        )
    model.save_pretrained(folder)
    BitImageProcessor(size={"shortest_edge": SIDE + 4}, crop_size={"height": SIDE, "width": SIDE}).save_pretrained(
        folder
    )
    return folder

"""Models of true size without their weights: configurations alone, which is all that a plan reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.models import SCALED_LINEAR, SD21
from tests.support.tiny_models import build_tokenizer

BLOCKS = {"down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4}
CLIP_L = {
    "model_type": "clip",
    "vision_config": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "image_size": 224,
        "patch_size": 14,
    },
}
DINO_B = {"model_type": "vit", "hidden_size": 768, "num_hidden_layers": 12, "image_size": 224, "patch_size": 16}


def config_only_sd21(folder: Path) -> Path:
    """Stable Diffusion 2.1-base, with a tokenizer of a few words."""
    text = SD21["text"][0] | {"max_position_embeddings": 77, "vocab_size": SD21["vocabulary"]}
    vae = SD21["vae"] | BLOCKS | {"latent_channels": 4}
    for part, config in (("unet", SD21["unet"]), ("text_encoder", text), ("vae", vae)):
        _written(folder / part / "config.json", config)
    _written(folder / "scheduler" / "scheduler_config.json", SCALED_LINEAR)
    build_tokenizer().save_pretrained(folder / "tokenizer")
    parts = ("unet", "text_encoder", "vae", "tokenizer", "scheduler")
    _written(folder / "model_index.json", {part: ["a", "b"] for part in parts})
    return folder


def config_only_judges(folder: Path) -> dict[str, str]:
    """`models.clip` and `models.identity` of the paper: CLIP ViT-L/14 and DINO ViT-B/16."""
    _written(folder / "clip" / "config.json", CLIP_L)
    _written(folder / "dino" / "config.json", DINO_B)
    return {"clip": str(folder / "clip"), "identity": str(folder / "dino")}


def _written(path: Path, tree: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(tree))

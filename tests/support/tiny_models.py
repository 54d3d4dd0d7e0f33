"""A random tiny text-to-image model in StableDiffusionPipeline layout, and scenes for it: for tests of
machinery, not of pictures."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from schemas.job import JobSpec
from schemas.masks import encode_mask
from schemas.outcomes import SceneTask
from stages.extract.method.latents import encode_scene
from stages.extract.training.batch import TrainingScene
from stages.handles.scene_model import SceneModel

WORDS = (
    "a",
    "photo",
    "of",
    "and",
    "object",
    "cat",
    "dog",
    "ball",
    "car",
    "at",
    "the",
    "beach",
    "in",
    "snow",
    "on",
    "wooden",
    "floor",
    "with",
    "city",
)
START, END = "<|startoftext|>", "<|endoftext|>"
MAX_LENGTH = 32

# Threads cost tiny tensors more than they save: twenty times more where other processes keep the cores busy.
torch.set_num_threads(1)


def build_tokenizer(words: Sequence[str] = WORDS, **settings: Any) -> CLIPTokenizer:
    """CLIP's byte-level BPE with single characters and `words`; settings: of the tokenizer, such as pad_token."""
    characters = [chr(code) for code in range(33, 127)]
    vocab = {token: index for index, token in enumerate(characters + [c + "</w>" for c in characters])}
    merges: list[tuple[str, str]] = []
    for word in words:
        pieces = [*word[:-1], word[-1] + "</w>"]
        left = pieces[0]
        for right in pieces[1:]:
            if (left, right) not in merges:
                merges.append((left, right))
            left += right
            vocab.setdefault(left, len(vocab))
    vocab[START], vocab[END] = len(vocab), len(vocab) + 1
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=MAX_LENGTH, **settings)


def build_tiny_model(directory: Path, prediction_type: str = "epsilon", side: int = 64, seed: int = 0) -> Path:
    """Saves the model under `directory`: latents of side/4, cross-attention at side/8 and side/16.

    The weights depend on `seed` alone. `prediction_type`: epsilon or v_prediction. Returns `directory`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tokenizer = build_tokenizer()
        text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=4,
                max_position_embeddings=MAX_LENGTH,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
        unet = UNet2DConditionModel(
            sample_size=side // 4,
            block_out_channels=(16, 32, 32),
            layers_per_block=1,
            cross_attention_dim=32,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            attention_head_dim=4,
            norm_num_groups=8,
            use_linear_projection=True,
        )
        vae = AutoencoderKL(
            block_out_channels=(8, 8, 16),
            layers_per_block=1,
            latent_channels=4,
            norm_num_groups=4,
            sample_size=side,
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
        )
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction_type,
    )
    pipe = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.save_pretrained(directory, safe_serialization=True)
    return Path(directory)


def tiny_spec(base: Path | str, **changes: Any) -> JobSpec:
    """A job of a few steps a phase; `changes` by section, such as extract={"batch": 1}."""
    extract: dict[str, Any] = {
        "phase1": {"steps": 3, "lr": 5e-3},
        "phase2": {"steps": 3, "lr": 1e-3},
        "lora": {"rank": 4, "text_encoder": True},
        "prior": {"images": 3, "steps": 2},
    } | changes.pop("extract", {})
    generate: dict[str, Any] = {"images_per_prompt": 1, "steps": 3} | changes.pop("generate", {})
    return JobSpec(
        source={"uri": "/pictures"},
        output="/output",
        models={"base": str(base)},
        extract=extract,
        generate=generate,
        **changes,
    )


def tiny_picture(number: int, concepts: int, side: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [side, side, 3] and bool masks [concepts, side, side] that do not overlap."""
    dice = np.random.default_rng(number)
    picture = dice.integers(0, 255, (side, side, 3), dtype=np.uint8)
    masks = np.zeros((concepts, side, side), dtype=bool)
    for j in range(concepts):
        left = 4 * (number % 4)
        masks[j, j * side // 4 : (j + 1) * side // 4, left : left + side // 2] = True
    return picture, masks


def tiny_scene(model: SceneModel, number: int, concepts: int) -> TrainingScene:
    """What the trainer gets for scene `scene<number>`, on a model with one text encoder."""
    picture, masks = tiny_picture(number, concepts)
    latents = encode_scene(
        model.base, torch.from_numpy(picture).permute(2, 0, 1) / 127.5 - 1, torch.from_numpy(masks), model.recorder.side
    )
    return TrainingScene(f"scene{number}", [(10 + j,) for j in range(concepts)], latents)


def tiny_task(number: int, concepts: int, side: int = 64, word: str | None = None) -> SceneTask:
    """What the extract stage gets for scene `scene<number>`."""
    picture, masks = tiny_picture(number, concepts, side)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    scene_id = f"scene{number}"
    rows = [{"scene_id": scene_id, "index": j, "mask": encode_mask(mask), "word": word} for j, mask in enumerate(masks)]
    return SceneTask(scene_id, {"scenes": [{"scene_id": scene_id}], "concepts": rows}, {"png": buffer.getvalue()})

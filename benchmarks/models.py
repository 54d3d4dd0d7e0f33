"""Base models to measure with: the bundled seedling, and random ones of the true sizes of SD 2.1-base and SDXL.

Nothing is downloaded: the parts are built on the device itself, from the sizes below. Only the tokenizers are small:
they know a few words, and fillers up to the true size of the vocabulary, so ids and embedding tables are as large as
CLIP's.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from stages.models.base.base_model import BaseModel, overflows
from stages.models.base.loading import load_base
from stages.models.place import bundled

WORDS = ("a", "photo", "of", "and", "object", "at", "the", "beach", "in", "snow", "jungle")
START, END = "<|startoftext|>", "<|endoftext|>"

SCALED_LINEAR: dict[str, Any] = {
    "_class_name": "DDIMScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "prediction_type": "epsilon",
}

SD21: dict[str, Any] = {
    "unet": {
        "sample_size": 64,
        "block_out_channels": (320, 640, 1280, 1280),
        "layers_per_block": 2,
        "attention_head_dim": (5, 10, 20, 20),
        "cross_attention_dim": 1024,
        "use_linear_projection": True,
        "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    },
    "text": [
        {
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_hidden_layers": 23,
            "num_attention_heads": 16,
            "hidden_act": "gelu",
            "projection_dim": 512,
        }
    ],
    "vae": {
        "block_out_channels": (128, 256, 512, 512),
        "layers_per_block": 2,
        "sample_size": 512,
        "scaling_factor": 0.18215,
    },
    "vocabulary": 49408,
    "tokens": 77,
}

SDXL: dict[str, Any] = {
    "unet": {
        "sample_size": 128,
        "block_out_channels": (320, 640, 1280),
        "layers_per_block": 2,
        "attention_head_dim": (5, 10, 20),
        "cross_attention_dim": 2048,
        "use_linear_projection": True,
        "transformer_layers_per_block": (1, 2, 10),
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    },
    "text": [
        {
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "hidden_act": "quick_gelu",
            "projection_dim": 768,
        },
        {
            "hidden_size": 1280,
            "intermediate_size": 5120,
            "num_hidden_layers": 32,
            "num_attention_heads": 20,
            "hidden_act": "gelu",
            "projection_dim": 1280,
        },
    ],
    "vae": {
        "block_out_channels": (128, 256, 512, 512),
        "layers_per_block": 2,
        "sample_size": 1024,
        "scaling_factor": 0.13025,
    },
    "vocabulary": 49408,
    "tokens": 77,
}

TINY: dict[str, Any] = {
    "unet": {
        "sample_size": 16,
        "block_out_channels": (16, 32),
        "layers_per_block": 1,
        "attention_head_dim": 4,
        "cross_attention_dim": 32,
        "norm_num_groups": 8,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    },
    "text": [{"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}],
    "vae": {
        "block_out_channels": (8, 16, 16),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "sample_size": 64,
        "scaling_factor": 0.5,
    },
    "vocabulary": 320,
    "tokens": 32,
}

TINY_XL: dict[str, Any] = TINY | {
    "unet": TINY["unet"]
    | {
        "cross_attention_dim": 72,
        "transformer_layers_per_block": (1, 2),
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 40 + 6 * 8,
    },
    "text": [
        TINY["text"][0],
        {
            "hidden_size": 40,
            "intermediate_size": 80,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "projection_dim": 40,
        },
    ],
}

SIZES = {"sd21": SD21, "sdxl": SDXL, "tiny": TINY, "tiny-xl": TINY_XL}
NAMES = ("seedling", *SIZES)


def build_base(name: str, dtype: torch.dtype, device: torch.device, seed: int = 0) -> BaseModel:
    """The base model called `name`, frozen; the weights of a random one depend on the seed and the device alone.

    On the meta device a random one has sizes and no weights.
    """
    if name == "seedling":
        return load_base(bundled("seedling", "models.base"), None, dtype, device)
    sizes = SIZES[name]
    # SDXL's second tokenizer pads with "!", as released.
    tokenizers = [
        build_tokenizer(sizes["vocabulary"], sizes["tokens"], **pad)
        for pad, _ in zip(({}, {"pad_token": "!"}), sizes["text"], strict=False)
    ]
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), device:
        torch.manual_seed(seed)
        unet = UNet2DConditionModel(**sizes["unet"])
        blocks = len(sizes["vae"]["block_out_channels"])
        vae = AutoencoderKL(
            latent_channels=4,
            down_block_types=("DownEncoderBlock2D",) * blocks,
            up_block_types=("UpDecoderBlock2D",) * blocks,
            **sizes["vae"],
        )
        kinds = (CLIPTextModel, CLIPTextModelWithProjection)
        encoders = [
            kind(
                CLIPTextConfig(
                    vocab_size=len(tokenizer),
                    max_position_embeddings=sizes["tokens"],
                    bos_token_id=tokenizer.bos_token_id,
                    eos_token_id=tokenizer.eos_token_id,
                    pad_token_id=tokenizer.pad_token_id,
                    **config,
                )
            )
            for kind, config, tokenizer in zip(kinds, sizes["text"], tokenizers, strict=False)
        ]
    two = len(encoders) == 2
    for part in (unet, vae, *encoders):
        part.eval().requires_grad_(False)
        if part is vae and two and overflows(vae.config, dtype):
            continue
        for module in part.modules():  # as load_base does: norms compute in float32 under autocast
            if not isinstance(module, (torch.nn.LayerNorm, torch.nn.GroupNorm)):
                for parameter in module.parameters(recurse=False):
                    parameter.data = parameter.data.to(dtype)
    second: dict[str, Any] = (
        {} if not two else {"tokenizer_2": tokenizers[1], "text_encoder_2": encoders[1], "zero_negative": True}
    )
    return BaseModel(tokenizers[0], encoders[0], unet, vae, dict(SCALED_LINEAR), dtype, device, **second)


def held_gib(base: BaseModel) -> float:
    """What the base's weights and buffers take. Unit: GiB."""
    return sum(
        t.numel() * t.element_size()
        for part in (base.unet, base.vae, *base.text_encoders.values())
        for t in (*part.parameters(), *part.buffers())
    ) / (1 << 30)


def build_tokenizer(vocabulary: int, tokens: int, **settings: Any) -> CLIPTokenizer:
    """CLIP's byte-level BPE with single characters, the words above and fillers; start and end come last, as CLIP's
    do. settings: of the tokenizer, such as pad_token.
    """
    characters = [chr(code) for code in range(33, 127)]
    vocab = {token: index for index, token in enumerate(characters + [c + "</w>" for c in characters])}
    merges: dict[tuple[str, str], None] = {}
    for word in WORDS:
        left = word[0] if len(word) > 1 else word + "</w>"
        for right in [*word[1:-1], word[-1] + "</w>"] if len(word) > 1 else []:
            merges[left, right] = None
            left += right
            vocab.setdefault(left, len(vocab))
    for filler in range(vocabulary - 2 - len(vocab)):
        vocab[f"filler{filler}</w>"] = len(vocab)
    vocab[START], vocab[END] = len(vocab), len(vocab) + 1
    return CLIPTokenizer(vocab=vocab, merges=list(merges), model_max_length=tokens, **settings)

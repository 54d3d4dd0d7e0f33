"""A random tiny text-to-image model in StableDiffusionXLPipeline layout: two text encoders of different widths."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from tests.support.tiny_models import MAX_LENGTH, WORDS, build_tokenizer

WIDTHS, POOLED, ADDED = (32, 48), 40, 8
LEGACY_EOS = 2
"""`eos_token_id` of the text encoders of SDXL as released: transformers then looks for the highest id."""


def build_tiny_sdxl(
    directory: Path, side: int = 64, seed: int = 0, legacy_eos: bool = True, zeros_for_empty: bool = True
) -> Path:
    """Saves the model under `directory`: latents of side/4, cross-attention at side/8 and side/16, two
    transformer blocks at the latter.

    The second tokenizer pads with "!" as SDXL's, and has a word more, so that handles have other ids in it. Returns
    `directory`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tokenizer, tokenizer_2 = build_tokenizer(), build_tokenizer((*WORDS, "zebra"), pad_token="!")
        assert len(tokenizer) != len(tokenizer_2)
        configs = [
            CLIPTextConfig(
                vocab_size=len(each),
                hidden_size=width,
                intermediate_size=64,
                num_hidden_layers=layers,
                num_attention_heads=4,
                max_position_embeddings=MAX_LENGTH,
                projection_dim=POOLED,
                bos_token_id=each.bos_token_id,
                eos_token_id=LEGACY_EOS if legacy_eos else each.eos_token_id,
                pad_token_id=each.pad_token_id,
            )
            for each, width, layers in zip((tokenizer, tokenizer_2), WIDTHS, (2, 3), strict=True)
        ]
        text_encoder, text_encoder_2 = CLIPTextModel(configs[0]), CLIPTextModelWithProjection(configs[1])
        unet = UNet2DConditionModel(
            sample_size=side // 4,
            block_out_channels=(16, 32, 32),
            layers_per_block=1,
            transformer_layers_per_block=(1, 1, 2),
            cross_attention_dim=sum(WIDTHS),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            attention_head_dim=(2, 4, 4),
            norm_num_groups=8,
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=ADDED,
            projection_class_embeddings_input_dim=POOLED + 6 * ADDED,
        )
        # torch's own start leaves what is added to the time embedding too small to show in a picture.
        for linear in (unet.add_embedding.linear_1, unet.add_embedding.linear_2):
            torch.nn.init.normal_(linear.weight, std=0.5)
        vae = AutoencoderKL(
            block_out_channels=(8, 8, 16),
            layers_per_block=1,
            latent_channels=4,
            norm_num_groups=4,
            sample_size=side,
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            scaling_factor=0.13025,
            force_upcast=True,
        )
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, timestep_spacing="leading"
    )
    pipe = StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=text_encoder,
        text_encoder_2=text_encoder_2,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer_2,
        unet=unet,
        scheduler=scheduler,
        add_watermarker=False,
        force_zeros_for_empty_prompt=zeros_for_empty,
    )
    pipe.save_pretrained(directory, safe_serialization=True)
    for name in ("text_encoder", "text_encoder_2"):  # Released so; what loads them must not take it at its word.
        config = Path(directory) / name / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"dtype": "float16"}))
    return Path(directory)


def load_pipeline(directory: Path, **parts: Any) -> StableDiffusionXLPipeline:
    """In float32 throughout, whatever the text encoders' configurations say."""
    return StableDiffusionXLPipeline.from_pretrained(directory, torch_dtype=torch.float32, **parts)

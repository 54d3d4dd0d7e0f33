"""The seedling base as a StableDiffusionPipeline: its untrained parts, its scheduler, its folder, its sample sheet."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from models.training.configs import forget_paths
from models.training.world.tokenizer import build as build_tokenizer

SHEET_PROMPTS = (
    "a photo of a red striped star on grass",
    "a photo of a blue spotted heart at the beach",
    "a photo of a plain pink fish in the snow",
    "a photo of a yellow checked mushroom at night",
    "a photo of a plain purple house on a wooden floor",
    "a photo of a white ringed ball on pink fabric",
    "a photo of a plain green tree in the desert",
    "a photo of orange striped car on a checkerboard",
    "a photo of a plain yellow star and a red striped heart at night",
    "a photo of a blue checked cube and a plain pink cone on grass",
    "a photo of red spotted mushroom and plain blue moon at the beach",
    "a photo of a green spotted fish and a plain white house on pink fabric",
    "a photo of a plain red car and a green striped tree in the snow",
    "a photo of a black ringed arrow and a purple object on a wooden floor",
    "a photo of a yellow flower and a blue duck and a red star in the desert",
    "a photo of an object on a checkerboard",
    "a photo of a crown",
    "a photo of a black spotted duck on top of a pink fabric",
    "a photo of a boat floating on top of water",
    "a photo of a red object in the jungle",
    "a photo of a flower with a mountain in the background",
    "a photo at the beach",
    "a photo of an orange ringed boat and a plain black crown in the street",
    "a photo of a white checked moon with the eiffel tower in the background",
)
"""What the sample sheets show, 24 prompts: a row of eight single toys, a row of groups, a row of the rest."""


@dataclass(frozen=True)
class Size:
    """Channels of the UNet's three levels, width and layers of the text encoder."""

    channels: tuple[int, int, int]
    text_width: int
    text_layers: int


SIZE = Size((96, 128, 192), 128, 2)


def build_unet() -> UNet2DConditionModel:
    """An untrained UNet of 11.7 M parameters; cross-attention at 8x8 and 4x4 only, because attention is what costs most
    on a CPU."""
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=SIZE.channels,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=SIZE.text_width,
        attention_head_dim=4,
        norm_num_groups=8,
    )


def build_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """An untrained text encoder: two layers, 128 wide."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=SIZE.text_width,
            intermediate_size=2 * SIZE.text_width,
            num_hidden_layers=SIZE.text_layers,
            num_attention_heads=4,
            max_position_embeddings=tokenizer.model_max_length,
            projection_dim=SIZE.text_width,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def build_scheduler() -> DDIMScheduler:
    """Stable Diffusion's noise schedule with v-prediction; samples are never clipped, because latents have no range."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="v_prediction",
        timestep_spacing="trailing",
    )


def assemble(
    vae: AutoencoderKL, unet: UNet2DConditionModel, text_encoder: CLIPTextModel, tokenizer: CLIPTokenizer
) -> StableDiffusionPipeline:
    """The parts as one pipeline, with no safety checker: it draws toys."""
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def export(pipeline: StableDiffusionPipeline, folder: Path) -> None:
    """Write the pipeline, fp16, in files of at most 36 MB, with the tokenizer of the world's words; `folder` is
    swapped in whole by renaming."""
    fresh, old = folder.with_name(folder.name + ".part"), folder.with_name(folder.name + ".old")
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)
    for part in (pipeline.vae, pipeline.unet, pipeline.text_encoder):
        part.half()
    pipeline.save_pretrained(fresh, safe_serialization=True, max_shard_size="36MB")
    forget_paths(fresh)
    # With vocab.json and merges.txt, which older transformers read.
    build_tokenizer(fresh / "tokenizer")
    for part in (pipeline.vae, pipeline.unet, pipeline.text_encoder):
        part.float()
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.exists():
        os.rename(folder, old)
    os.rename(fresh, folder)
    shutil.rmtree(old, ignore_errors=True)


@torch.no_grad()
def sample(
    pipeline: StableDiffusionPipeline, prompts: list[str], *, seed: int = 0, steps: int = 20, guidance: float = 3.0
) -> np.ndarray:
    """One picture a prompt: uint8 [n, h, w, 3]. Picture i's noise depends on `seed` and i alone."""
    generators = [torch.Generator().manual_seed(seed * 100_003 + i) for i in range(len(prompts))]
    images = pipeline(
        prompts, num_inference_steps=steps, guidance_scale=guidance, generator=generators, output_type="np"
    ).images
    return (images * 255).round().astype(np.uint8)


def save_sheet(images: np.ndarray, path: Path, columns: int = 8, zoom: int = 2) -> None:
    """Write pictures uint8 [n, h, w, 3] as one sheet, row by row, each pixel `zoom` times as large; what is left of the
    last row is white."""
    columns = min(columns, len(images))
    white = np.full((-len(images) % columns, *images.shape[1:]), 255, np.uint8)
    shown = np.concatenate([images, white])
    rows = [np.concatenate(list(shown[i : i + columns]), 1) for i in range(0, len(shown), columns)]
    sheet = Image.fromarray(np.concatenate(rows, 0))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.resize((sheet.width * zoom, sheet.height * zoom), Image.Resampling.NEAREST).save(path)

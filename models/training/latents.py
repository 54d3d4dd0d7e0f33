"""Encoded scenes with ready captions, on the training device, so that training the UNet waits for nothing."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from transformers import CLIPTokenizer

from models.training.pool import ScenePool

CAPTIONS = 6
"""Captions drawn for each scene."""

_captions: tuple[ScenePool, CLIPTokenizer] | None = None  # of this worker process


@dataclass(frozen=True)
class Batch:
    """latents: float [b, 4, h, w], scaled, of about unit standard deviation; covered: float [b, 1, h, w], how much of
    each place objects cover; token_ids: int64 [b, 32], of one of each scene's captions; parts: uint8 [b, 3, 32, 32],
    see `dense.parts_of`, or None."""

    latents: Tensor
    covered: Tensor
    token_ids: Tensor
    parts: Tensor | None


@dataclass(frozen=True)
class EncodedScenes:
    """moments: fp16 [n, 8, h, w], mean then standard deviation; covered: fp16 [n, 1, h, w], the share of each place
    that objects cover; token_ids: int16 [n, CAPTIONS, 32]; parts: uint8 [n, 3, 32, 32], or None where nothing is told
    place by place; all on the training device. scaling_factor: the autoencoder's."""

    moments: Tensor
    covered: Tensor
    token_ids: Tensor
    scaling_factor: float
    parts: Tensor | None = None

    def draw(self, batch: int, noise: torch.Generator) -> Batch:
        """Random scenes. `noise`: a generator of the same device."""
        device = self.moments.device
        rows = torch.randint(len(self.moments), (batch,), generator=noise, device=device)
        caption = torch.randint(self.token_ids.shape[1], (batch,), generator=noise, device=device)
        mean, std = self.moments[rows].float().chunk(2, dim=1)
        sample = mean + std * torch.randn(mean.shape, generator=noise, device=device)
        return Batch(
            sample * self.scaling_factor,
            self.covered[rows].float(),
            self.token_ids[rows, caption].long(),
            None if self.parts is None else self.parts[rows],
        )


@torch.no_grad()
def encode_pool(
    vae: AutoencoderKL, pool: ScenePool, tokenizer: Path, workers: int | None = None, batch: int = 512
) -> EncodedScenes:
    """All scenes of `pool` through `vae`, on its device, with captions of the tokenizer in the folder `tokenizer`."""
    count, side = len(pool.images), vae.config.sample_size // 2 ** (len(vae.config.block_out_channels) - 1)
    moments = torch.empty((count, 2 * vae.config.latent_channels, side, side), dtype=torch.float16, device=vae.device)
    covered = torch.empty((count, 1, side, side), dtype=torch.float16, device=vae.device)
    for first in range(0, count, batch):
        labels = torch.from_numpy(pool.labels[first : first + batch] > 0).to(vae.device)
        covered[first : first + batch] = functional.adaptive_avg_pool2d(labels[:, None].float(), side).half()
        images = torch.from_numpy(pool.images[first : first + batch].copy()).to(vae.device)
        posterior = vae.encode(images.permute(0, 3, 1, 2).float() / 127.5 - 1).latent_dist
        moments[first : first + batch] = torch.cat([posterior.mean, posterior.std], 1).half()
    return EncodedScenes(
        moments, covered, tokenize_pool(pool, tokenizer, workers).to(vae.device), vae.config.scaling_factor
    )


def tokenize_pool(pool: ScenePool, tokenizer: Path, workers: int | None = None, chunk: int = 2000) -> Tensor:
    """Token ids of `CAPTIONS` captions of every scene, by `workers` processes (by default one a core): int16
    [n, CAPTIONS, 32]. tokenizer: its folder."""
    firsts = range(0, len(pool.images), chunk)
    facts = replace(pool, images=pool.images[:0], labels=pool.labels[:0])  # what captions need, to send along
    with ProcessPoolExecutor(
        workers or os.cpu_count(), multiprocessing.get_context("spawn"), _open_captions, (facts, tokenizer)
    ) as executor:
        return torch.from_numpy(np.concatenate(list(executor.map(_caption_ids, firsts, [chunk] * len(firsts)))))


def _open_captions(pool: ScenePool, tokenizer: Path) -> None:
    global _captions
    _captions = pool, CLIPTokenizer.from_pretrained(tokenizer)


def _caption_ids(first: int, chunk: int) -> NDArray[np.int16]:
    assert _captions is not None
    pool, tokens = _captions
    rows = range(first, min(first + chunk, len(pool.backgrounds)))
    captions = [caption for row in rows for caption in pool.captions(row, CAPTIONS)]
    ids = tokens(captions, padding="max_length", truncation=True, return_tensors="np").input_ids
    return ids.reshape(len(rows), CAPTIONS, -1).astype(np.int16)

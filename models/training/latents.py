"""The cache of encoded scenes: a memory-mapped file, so that training the UNet never waits for pictures.

A row is one scene's posterior (mean and standard deviation, fp16) and what its captions are drawn from.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor

from models.training.sprites import SpriteName
from models.training.vae import to_tensor
from models.training.world import World, draw_caption

MAX_OBJECTS = 3


@dataclass(frozen=True)
class LatentCache:
    """moments: fp16 [n, 8, 16, 16], mean then standard deviation; facts: int16 [n, 1 + 3], the background's index and
    the objects' places in the roster, -1 for none."""

    moments: NDArray[np.float16]
    facts: NDArray[np.int16]
    roster: tuple[SpriteName, ...]

    def sample(self, rows: NDArray[np.int64], scaling_factor: float, noise: torch.Generator) -> Tensor:
        """A draw of the scaled latents of `rows`: float [b, 4, 16, 16], of about unit standard deviation."""
        mean, std = torch.from_numpy(self.moments[rows].astype(np.float32)).chunk(2, dim=1)
        return (mean + std * torch.randn(mean.shape, generator=noise)) * scaling_factor

    def captions(self, rows: NDArray[np.int64], rng: np.random.Generator) -> list[str]:
        """A fresh caption for each of `rows`."""
        drawn = []
        for background, *picks in self.facts[rows].tolist():
            drawn.append(draw_caption(tuple(self.roster[p] for p in picks if p >= 0), background, rng))
        return drawn


@torch.no_grad()
def encode_world(vae: AutoencoderKL, world: World, count: int, folder: Path, batch: int = 64) -> None:
    """Make the cache of the world's first `count` scenes in `folder`, unless it is there.

    A cache of other scenes or of another autoencoder (told by its scaling factor) is written anew.
    """
    roster = world.settings.roster
    identity = {
        "count": count,
        "seed": world.settings.seed,
        "roster": [sprite.code for sprite in roster],
        "scaling_factor": vae.config.scaling_factor,
    }
    moments_path, facts_path, done = folder / "moments.npy", folder / "facts.npy", folder / "cache.json"
    if not (done.exists() and json.loads(done.read_text()) == identity):
        folder.mkdir(parents=True, exist_ok=True)
        side = vae.config.sample_size // 4
        moments = np.lib.format.open_memmap(moments_path, "w+", np.float16, (count, 8, side, side))
        facts = np.full((count, 1 + MAX_OBJECTS), -1, np.int16)
        place = {sprite.code: number for number, sprite in enumerate(roster)}
        for first in range(0, count, batch):
            scenes = [world.scene(i) for i in range(first, min(first + batch, count))]
            posterior = vae.encode(to_tensor([scene.image for scene in scenes]).to(vae.device)).latent_dist
            rows = torch.cat([posterior.mean, posterior.std], 1)
            moments[first : first + len(scenes)] = rows.cpu().numpy()
            for row, scene in enumerate(scenes, first):
                facts[row, : 1 + len(scene.objects)] = [scene.background, *(place[o.code] for o in scene.objects)]
            if first % (50 * batch) == 0:
                print(f"latents {first} of {count}", flush=True)
        moments.flush()
        np.save(facts_path, facts)
        done.with_suffix(".part").write_text(json.dumps(identity))
        os.replace(done.with_suffix(".part"), done)


def open_cache(folder: Path, roster: tuple[SpriteName, ...]) -> LatentCache:
    """The cache that `encode_world` made in `folder` of scenes of `roster`."""
    return LatentCache(np.load(folder / "moments.npy", mmap_mode="r"), np.load(folder / "facts.npy"), roster)

"""Scenes of the world of toys, rendered, encoded and captioned once and kept in shards: training starts at once.

A shard holds scenes i * `SHARD` to (i + 1) * `SHARD` of a world, as they are after the autoencoder's encoder; their
pictures are not kept. A run that is stopped and started again finds the shards that are there; asking for more scenes
makes the missing shards and leaves the others.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from transformers import CLIPTokenizer

from models.training.base.dense import parts_of
from models.training.base.latents import CAPTIONS, EncodedScenes
from models.training.world.world import ToySettings, ToyWorld

SHARD = 500
"""Scenes."""
_BATCH = 50

_opened: tuple[ToyWorld, AutoencoderKL, CLIPTokenizer] | None = None  # of this worker process


def encode_world(
    settings: ToySettings, count: int, vae: Path, tokenizer: Path, folder: Path, workers: int | None = None
) -> None:
    """Make the shards of the first `count` scenes that `folder` lacks.

    vae, tokenizer: their folders; workers: processes, by default one a core; 1 is this one. Raises ValueError where
    the folder's shards are of another world, autoencoder or vocabulary.
    """
    folder.mkdir(parents=True, exist_ok=True)
    identity, known = _identity(settings, vae, tokenizer), folder / "identity.json"
    if not known.exists():
        known.write_text(json.dumps(identity, indent=1), encoding="utf-8")
    elif (other := json.loads(known.read_text(encoding="utf-8"))) != identity:
        differs = ", ".join(sorted(name for name in identity if identity[name] != other.get(name)))
        raise ValueError(f"{folder} holds scenes that differ in: {differs}; name another --work, or delete that folder")
    missing = [shard for shard in range(-(-count // SHARD)) if not _path(folder, shard).exists()]
    if workers == 1:
        _open(settings, vae, tokenizer)
        for shard in missing:
            _write(folder, shard)
    if workers == 1 or not missing:
        return
    with ProcessPoolExecutor(
        workers or os.cpu_count(), multiprocessing.get_context("spawn"), _open_alone, (settings, vae, tokenizer)
    ) as executor:
        for _ in executor.map(_write, [folder] * len(missing), missing):
            pass


def open_encoded(folder: Path, count: int, scaling_factor: float, device: str | torch.device) -> EncodedScenes:
    """The first `count` scenes of `encode_world`'s folder, rounded up to whole shards, on `device`."""
    shards = [np.load(_path(folder, shard)) for shard in range(-(-count // SHARD))]

    def joined(name: str) -> Tensor:
        return torch.from_numpy(np.concatenate([shard[name] for shard in shards])).to(device)

    return EncodedScenes(*map(joined, ("moments", "covered", "token_ids", "parts")), scaling_factor)


def _path(folder: Path, shard: int) -> Path:
    return folder / f"{shard:05d}.npz"


def _identity(settings: ToySettings, vae: Path, tokenizer: Path) -> dict[str, str]:
    """What scenes depend on, beside the code."""
    weights = sorted(vae.glob("*.safetensors"))
    return {
        "world": hashlib.sha256(repr(settings).encode()).hexdigest(),
        "autoencoder": hashlib.sha256(b"".join(path.read_bytes() for path in weights)).hexdigest(),
        "vocabulary": hashlib.sha256((tokenizer / "vocab.json").read_bytes()).hexdigest(),
    }


def _open(settings: ToySettings, vae: Path, tokenizer: Path) -> None:
    global _opened
    model = AutoencoderKL.from_pretrained(vae, torch_dtype=torch.float32).eval()
    _opened = settings.open(), model.to(memory_format=torch.channels_last), CLIPTokenizer.from_pretrained(tokenizer)


def _open_alone(settings: ToySettings, vae: Path, tokenizer: Path) -> None:
    torch.set_num_threads(1)  # as many processes as cores
    _open(settings, vae, tokenizer)


def _write(folder: Path, shard: int) -> None:
    """One shard, whole or not at all."""
    assert _opened is not None
    world, vae, tokens = _opened
    parts: list[dict[str, NDArray[np.generic]]] = []
    for first in range(shard * SHARD, (shard + 1) * SHARD, _BATCH):
        parts.append(_encoded(world, vae, tokens, range(first, first + _BATCH)))
    path = _path(folder, shard)
    fresh = path.with_suffix(".part")
    with fresh.open("wb") as stream:
        np.savez(stream, **{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
    os.replace(fresh, path)


@torch.no_grad()
def _encoded(
    world: ToyWorld, vae: AutoencoderKL, tokens: CLIPTokenizer, indices: range
) -> dict[str, NDArray[np.generic]]:
    """moments: fp16 [n, 8, h, w]; covered: fp16 [n, 1, h, w]; token_ids: int16 [n, CAPTIONS, 32]; parts: uint8
    [n, 3, 32, 32]: as in `EncodedScenes`."""
    scenes = [world.scene(index) for index in indices]
    images = torch.from_numpy(np.stack([scene.image for scene in scenes])).permute(0, 3, 1, 2)
    posterior = vae.encode(images.float() / 127.5 - 1).latent_dist
    solid = torch.from_numpy(np.stack([scene.masks.any(0) for scene in scenes]))[:, None].float()
    rngs = [np.random.default_rng((world.settings.seed, index, CAPTIONS)) for index in indices]
    captions = [scene.caption(rng) for scene, rng in zip(scenes, rngs, strict=True) for _ in range(CAPTIONS)]
    ids = tokens(captions, padding="max_length", truncation=True, return_tensors="np").input_ids
    return {
        "moments": torch.cat([posterior.mean, posterior.std], 1).half().numpy(),
        "covered": functional.adaptive_avg_pool2d(solid, posterior.mean.shape[-2:]).half().numpy(),
        "token_ids": ids.reshape(len(scenes), CAPTIONS, -1).astype(np.int16),
        "parts": np.stack([parts_of(scene.masks, scene.objects) for scene in scenes]),
    }

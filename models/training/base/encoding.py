"""Scenes of the world of toys, rendered, encoded and captioned once and kept in shards: training starts at once.

A shard holds scenes i * `SHARD` to (i + 1) * `SHARD` of a world, as they are after the autoencoder's encoder; their
pictures are not kept. A run that is stopped and started again finds the shards that are there; asking for more scenes
makes the missing shards and leaves the others. A GPU learns faster than processors compose: `Encoding` goes on making
shards while training sees those that are there (`arriving`).
"""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import Future, wait
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch.nn import functional
from transformers import CLIPTokenizer

from models.training.base.dense import parts_of
from models.training.base.latents import CAPTIONS
from models.training.pools import spawned
from models.training.world.world import ToySettings, ToyWorld

SHARD = 500
"""Scenes."""
_BATCH = 50

_opened: tuple[ToyWorld, AutoencoderKL, CLIPTokenizer] | None = None  # of this worker process


class Encoding:
    """Makes the shards of the first `count` scenes that `folder` lacks, in processes of its own, until it is left.

    vae, tokenizer: their folders; workers: processes, by default one a core. Raises ValueError where the folder's
    shards are of another world, autoencoder or vocabulary.
    """

    def __init__(
        self, settings: ToySettings, count: int, vae: Path, tokenizer: Path, folder: Path, workers: int | None = None
    ) -> None:
        missing = _missing(settings, count, vae, tokenizer, folder)
        self._executor = spawned(workers, _open_alone, (settings, vae, tokenizer))
        self._made: dict[int, Future[None]] = {shard: self._executor.submit(_write, folder, shard) for shard in missing}

    def wait_for(self, scenes: int) -> None:
        """Until the first `scenes` are there. Raises what made a worker fail."""
        first = [made for shard, made in self._made.items() if shard * SHARD < scenes]
        for made in wait(first).done:
            made.result()

    def check(self) -> None:
        """Raises what made a worker fail, if any did."""
        for made in self._made.values():
            if made.done() and not made.cancelled():
                made.result()

    def __enter__(self) -> Encoding:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Shards that nobody has begun are left out; those begun are finished."""
        self._executor.shutdown(wait=True, cancel_futures=True)


def encode_world(
    settings: ToySettings, count: int, vae: Path, tokenizer: Path, folder: Path, workers: int | None = None
) -> None:
    """All shards, here and now; options and errors as `Encoding` has them, but one worker is this process."""
    if workers == 1:
        missing = _missing(settings, count, vae, tokenizer, folder)
        _open(settings, vae, tokenizer)
        for shard in missing:
            _write(folder, shard)
        return
    with Encoding(settings, count, vae, tokenizer, folder, workers) as encoding:
        encoding.wait_for(count)


def _missing(settings: ToySettings, count: int, vae: Path, tokenizer: Path, folder: Path) -> list[int]:
    """The shards to be made in `folder`, which is of these settings from now on."""
    folder.mkdir(parents=True, exist_ok=True)
    identity, known = _identity(settings, vae, tokenizer), folder / "identity.json"
    if not known.exists():
        known.write_text(json.dumps(identity, indent=1), encoding="utf-8")
    elif (other := json.loads(known.read_text(encoding="utf-8"))) != identity:
        differs = ", ".join(sorted(name for name in identity if identity[name] != other.get(name)))
        raise ValueError(f"{folder} holds scenes that differ in: {differs}; name another --work, or delete that folder")
    return [shard for shard in range(-(-count // SHARD)) if not shard_path(folder, shard).exists()]


def shard_path(folder: Path, shard: int) -> Path:
    """The file of a shard."""
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
    path = shard_path(folder, shard)
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

"""The scenes that the judge of toys learns from: files that all its processes share, three in ten as generated
pictures look, and where each toy is seen in them."""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.training.judge.claims import FACTS, KINDS, NUMBER, ROSTER
from models.training.world.pool import open_pool, render_pool
from models.training.world.world import ToySettings

BLURRED = 0.3
"""Share of the scenes that are seen through the autoencoder: a generated picture can be no sharper."""
VISIBLE_PIXELS = 150
"""A toy with fewer visible pixels is not looked at by itself."""


@dataclass(frozen=True)
class JudgedScenes:
    """n scenes. images: uint8 [n, h, w, 3] and labels: uint8 [n, h, w], 0 for the ground and i + 1 where toy i is seen,
    on one device; toys: int64 [n, 3], places in `ROSTER`, -1 for none, and places: int64 [n], on the host."""

    images: Tensor
    labels: Tensor
    toys: NDArray[np.int64]
    places: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.places)

    def part(self, rows: slice) -> JudgedScenes:
        """Some of the scenes."""
        return JudgedScenes(self.images[rows], self.labels[rows], self.toys[rows], self.places[rows])

    def mask(self, rows: Tensor, slots: Tensor) -> Tensor:
        """float [b, 1, h, w], 1 where toy `slots` of scene `rows` is seen; both int64 [b]."""
        return (self.labels[rows] == (slots + 1)[:, None, None])[:, None].float()

    def covered(self, rows: Tensor) -> Tensor:
        """float [b, 1, h, w], 1 where any toy of scene `rows` is seen."""
        return (self.labels[rows] > 0)[:, None].float()


def judged_world(seed: int, side: int = 128) -> ToySettings:
    """The world that the judge learns: every toy, turned and hidden a little more than the base's are, because
    generated ones are not as neat."""
    return ToySettings(roster=ROSTER, height=side, width=side, turns=12.0, overlaps=0.3, seed=seed)


def make_scenes(
    settings: ToySettings, count: int, seen: int, vae: Path | None, folder: Path, workers: int, device: str = "cpu"
) -> None:
    """The first `count` scenes of a world in `folder`, unless they are there, and beside them the same scenes of which
    the first `BLURRED` of `seen` are as the autoencoder in the folder `vae` gives them back."""
    pool, file = render_pool(settings, count, folder, workers), _blurred_file(settings, count, seen, vae, folder)
    if vae is None or file.exists():
        return
    fresh = file.with_suffix(".part")
    images = np.lib.format.open_memmap(fresh, "w+", np.uint8, pool.images.shape)
    images[:] = pool.images
    through_autoencoder(images[: int(BLURRED * seen)], vae, device)
    images.flush()
    os.replace(fresh, file)


def open_scenes(
    settings: ToySettings, count: int, seen: int, vae: Path | None, folder: Path, device: str
) -> JudgedScenes:
    """The scenes of `make_scenes`; on a CPU they stay in their files, which all processes share."""
    pool, file = open_pool(folder, settings.roster), _blurred_file(settings, count, seen, vae, folder)
    # copy on write: never written, but torch says so of arrays that cannot be
    images, labels = (np.load(path, mmap_mode="c") for path in (file, folder / "labels.npy"))
    numbers = np.array([*(NUMBER[toy] for toy in settings.roster), -1])  # -1, no toy, is the last one
    toys, places = numbers[pool.objects], np.array(pool.backgrounds, np.int64)
    return JudgedScenes(torch.from_numpy(images).to(device), torch.from_numpy(labels).to(device), toys, places)


def through_autoencoder(images: NDArray[np.uint8], vae: Path, device: str = "cpu", batch: int = 32) -> None:
    """Replace the images [n, h, w, 3] by what the autoencoder in the folder `vae` makes of them."""
    from diffusers import AutoencoderKL  # needed here alone, and a machine for training may lack it

    model = AutoencoderKL.from_pretrained(vae, torch_dtype=torch.float32).to(device).eval()
    with torch.inference_mode():
        for first in range(0, len(images), batch):
            pictures = torch.from_numpy(images[first : first + batch]).to(device).permute(0, 3, 1, 2).float()
            output = model.decode(model.encode(pictures / 127.5 - 1).latent_dist.mode()).sample
            images[first : first + batch] = (
                (output.permute(0, 2, 3, 1) * 127.5 + 128).clamp(0, 255).byte().cpu().numpy()
            )


def _blurred_file(settings: ToySettings, count: int, seen: int, vae: Path | None, folder: Path) -> Path:
    """Named by what it depends on, so that scenes of another world or autoencoder are never taken for these."""
    if vae is None:
        return folder / "images.npy"
    digest = hashlib.sha256(repr((settings, count, seen)).encode())
    for weights in sorted(vae.glob("*.safetensors")):
        digest.update(weights.read_bytes())
    return folder / f"images-{digest.hexdigest()[:12]}.npy"


class Sightings:
    """Where each toy is seen, so that two views of it can be drawn, and of toys that differ from it in one fact."""

    def __init__(self, scenes: JudgedScenes) -> None:
        areas = torch.stack(
            [torch.cat([(part == slot + 1).sum((1, 2)) for part in scenes.labels.split(256)]) for slot in range(3)], 1
        )
        rows, slots = np.nonzero((scenes.toys >= 0) & (areas.cpu().numpy() >= VISIBLE_PIXELS))
        self._where: dict[int, list[tuple[int, int]]] = {}
        for toy, row, slot in zip(scenes.toys[rows, slots].tolist(), rows.tolist(), slots.tolist(), strict=True):
            self._where.setdefault(toy, []).append((row, slot))
        self._several = [toy for toy, seen in self._where.items() if len(seen) > 1]
        if not self._several:
            raise ValueError("no toy is seen twice in these scenes: there must be more of them")

    def draw(self, count: int, rng: np.random.Generator) -> tuple[NDArray, NDArray, NDArray]:
        """Toys int64 [count], and of each two different sightings: scenes and slots int64 [2, count]. They come in
        groups of four that differ from the first in one fact each, its silhouette, colour and pattern, as far as such
        toys are seen twice: what is easily taken for each other has to be told apart."""
        toys: list[int] = []
        while len(toys) < count:
            first = self._several[rng.integers(len(self._several))]
            toys.append(first)
            toys += [other for kind in range(3) if (other := self._other(first, kind, rng)) is not None]
        toys = toys[:count]
        places = np.array([[self._where[toy][i] for i in self._two(toy, rng)] for toy in toys])  # [count, 2, 2]
        return np.array(toys), places[..., 0].T.copy(), places[..., 1].T.copy()

    def _two(self, toy: int, rng: np.random.Generator) -> tuple[int, int]:
        count = len(self._where[toy])
        first = int(rng.integers(count))
        return first, (first + int(rng.integers(1, count))) % count

    def _other(self, toy: int, kind: int, rng: np.random.Generator) -> int | None:
        """A toy that is seen twice and differs from `toy` in its fact of the kind alone."""
        step = math.prod(len(words) for words in KINDS[kind + 1 :])
        for number in rng.permutation(len(KINDS[kind])).tolist():
            other = toy + (number - FACTS[toy][kind]) * step
            if other != toy and len(self._where.get(other, ())) > 1:
                return other
        return None

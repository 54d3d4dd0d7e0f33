"""Measure a base of toys: what its pictures show of what they were asked for, fact by fact.

    python -m models.training.base.measure --base models/seedling/base --reader models/seedling/reader

Pictures are read by the judge of facts, and the same pictures by templates, which this project did not train. How well
each reads composed scenes, crisp and through the base's autoencoder, is printed first: no drawn picture can be read
better.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from numpy.typing import NDArray

from models.training.base.parts import SHEET_PROMPTS, sample, save_sheet
from models.training.base.vae import reconstruction_psnr, to_images, to_tensor
from models.training.reading.facts import Reader, read_facts
from models.training.reading.matching import TemplateReader
from models.training.reading.network import load_reader
from models.training.world.places.backgrounds import BACKGROUNDS
from models.training.world.roster import HELD_OUT, TRAINED, Toy
from models.training.world.world import ToySettings

TOGETHER = 32
"""Pictures that go through a model side by side."""

Pictures = NDArray[np.uint8]


@dataclass(frozen=True)
class BaseSettings:
    """How much is measured. One picture of 20 steps with guidance takes a core about a second."""

    singles: int = 280
    """Prompts of one trained toy."""
    pairs: int = 140
    """Prompts of two."""
    steps: int = 20
    guidance: float = 3.0
    seed: int = 1


@dataclass(frozen=True)
class Asked:
    """What one prompt asks for. place: an index of `BACKGROUNDS`."""

    toys: tuple[Toy, ...]
    place: int

    @property
    def prompt(self) -> str:
        """ "a photo of a red striped star and a plain blue fish on grass"."""
        return f"a photo of {' and '.join(map(called, self.toys))} {BACKGROUNDS[self.place].phrases[0]}"


def called(toy: Toy) -> str:
    """ "a red striped star", "an orange spotted fish"."""
    return ("an " if toy.name[0] in "aeiou" else "a ") + toy.name


def draw_asked(roster: Sequence[Toy], count: int, toys: int, seed: int) -> list[Asked]:
    """`count` prompts for `toys` toys of different silhouettes each, on places in turn."""
    dice = np.random.default_rng((seed, toys))
    found: list[Asked] = []
    while len(found) < count:
        picks = tuple(roster[i] for i in dice.choice(len(roster), toys, False))
        if len({toy.silhouette for toy in picks}) == toys:
            found.append(Asked(picks, len(found) % len(BACKGROUNDS)))
    return found


def composed(count: int, toys: int, seed: int, roster: tuple[Toy, ...] = TRAINED) -> tuple[Pictures, list[Asked]]:
    """`count` fresh scenes of `toys` toys each, and what is in them."""
    world = ToySettings(roster=roster, toy_counts=(*[0.0] * toys, 1.0), seed=seed).open()
    scenes = [world.scene(index) for index in range(count)]
    return np.stack([scene.image for scene in scenes]), [Asked(scene.objects, scene.background) for scene in scenes]


@torch.no_grad()
def through(vae: AutoencoderKL, pictures: Pictures) -> Pictures:
    """What the autoencoder makes of pictures."""
    parts = []
    for start in range(0, len(pictures), TOGETHER):
        latents = vae.encode(to_tensor(list(pictures[start : start + TOGETHER]))).latent_dist.mode()
        parts.append(to_images(vae.decode(latents).sample).numpy())
    return np.concatenate(parts)


def generate(pipeline: StableDiffusionPipeline, prompts: list[str], settings: BaseSettings) -> Pictures:
    """One picture a prompt, in batches that a cache holds."""
    parts = []
    for start in range(0, len(prompts), TOGETHER):
        seed = settings.seed + start  # a batch numbers its pictures from 0, so it needs a seed of its own
        batch = prompts[start : start + TOGETHER]
        parts.append(sample(pipeline, batch, seed=seed, steps=settings.steps, guidance=settings.guidance))
    return np.concatenate(parts)


@torch.no_grad()
def measure_vae(vae: AutoencoderKL, sheets: Path | None = None, scenes: int = 256) -> None:
    """Print the reconstruction of scenes of held-out toys; with `sheets`, a sheet of eight there, originals above."""
    unseen = ToySettings(HELD_OUT, seed=902).open()
    images = to_tensor([unseen.scene(i).image for i in range(scenes)])
    psnr = np.mean([reconstruction_psnr(vae, images[i : i + 1]) for i in range(len(images))])
    print(f"vae: psnr {psnr:.2f} dB on {scenes} held-out scenes", flush=True)
    if sheets:
        first = to_images(images[:8]).numpy()
        save_sheet(np.concatenate([first, through(vae, first)]), sheets / "vae.png", zoom=1)


def print_shares(what: str, readers: dict[str, Reader], pictures: Pictures, asked: Sequence[Asked]) -> None:
    """One line a reader."""
    for name, reader in readers.items():
        print(f"  {what}, {name}: {read_facts(reader, pictures, [one.toys for one in asked])}", flush=True)


def measure_base(
    pipeline: StableDiffusionPipeline, readers: dict[str, Reader], settings: BaseSettings, sheets: Path | None = None
) -> None:
    """Print how prompts of one toy and of two are followed, as each of `readers` reads it, after how well it reads
    composed scenes; with `sheets`, three sheets there."""
    for toys, count in ((1, settings.singles), (2, settings.pairs)):
        name = "one toy" if toys == 1 else "two toys"
        for kind, roster in (("known", TRAINED), ("held out", HELD_OUT)):
            real, facts = composed(count, toys, 906 + toys, roster)
            print_shares(f"{name}, composed, {kind}", readers, real, facts)
            print_shares(f"{name}, through the autoencoder, {kind}", readers, through(pipeline.vae, real), facts)
        asked, began = draw_asked(TRAINED, count, toys, settings.seed), time.monotonic()
        drawn = generate(pipeline, [one.prompt for one in asked], settings)
        seconds = (time.monotonic() - began) / count
        print_shares(f"{name}, drawn ({seconds:.2f} s a picture)", readers, drawn, asked)
        if sheets:
            save_sheet(drawn[:96], sheets / f"toys-{toys}.webp", columns=16, zoom=1)
    if sheets:
        save_sheet(sample(pipeline, list(SHEET_PROMPTS)), sheets / "prompts.png")


def load_pipeline(folder: Path) -> StableDiffusionPipeline:
    """The base model in fp32, with no progress bar."""
    pipeline = StableDiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def main() -> None:
    """Print each number as it is known."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", type=Path, required=True, help="folder of the base")
    parser.add_argument("--reader", type=Path, required=True, help="folder of the judge of facts")
    parser.add_argument("--sheets", type=Path, help="folder for the sample sheets")
    parser.add_argument("--templates", action="store_true", help="read by templates too: half a second a picture")
    defaults = BaseSettings()
    parser.add_argument("--singles", type=int, default=defaults.singles, help="prompts of one toy")
    parser.add_argument("--pairs", type=int, default=defaults.pairs, help="prompts of two")
    for name in ("steps", "seed"):
        parser.add_argument(f"--{name}", type=int, default=getattr(defaults, name))
    parser.add_argument("--guidance", type=float, default=defaults.guidance)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    readers: dict[str, Reader] = {"judge": load_reader(args.reader)}
    if args.templates:
        readers["templates"] = TemplateReader()
    settings = BaseSettings(args.singles, args.pairs, args.steps, args.guidance, args.seed)
    measure_base(load_pipeline(args.base), readers, settings, args.sheets)


if __name__ == "__main__":
    main()

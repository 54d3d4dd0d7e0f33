"""Measure the base model: its autoencoder, what its pictures show of what was asked for, how near the world they are.

    python -m models.training.measure_base --sprites assets --base models/seedling/base --clip models/seedling/clip

Pictures are read by the judge, whose own reading of composed scenes, crisp and through the autoencoder, is printed
first: no picture of the base model can be read better.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from numpy.typing import NDArray

from models.training.backgrounds import BACKGROUNDS
from models.training.base import SHEET_PROMPTS, sample, save_sheet
from models.training.frechet import frechet_distance
from models.training.judge import Reader, prompt_of, score_pairs, score_singles
from models.training.sprites import HELD_OUT, SpriteName
from models.training.vae import reconstruction_psnr, to_images, to_tensor
from models.training.world import World, WorldSettings, world_settings
from stages.models.clip import ClipJudge, load_clip

TOGETHER = 32
"""Pictures that go through a model side by side."""

Pictures = NDArray[np.uint8]
Asked = tuple[int, ...]
"""Sprites by their numbers in a roster, then a place."""


@dataclass(frozen=True)
class BaseSettings:
    """How much is measured. One picture of 20 steps with guidance takes a core about a second."""

    singles: int = 150
    """Prompts of one trained sprite."""
    pairs: int = 100
    """Prompts of two."""
    reference: int = 1500
    """Composed scenes that the distances are to."""
    steps: int = 20
    guidance: float = 3.0
    seed: int = 1


def draw_asked(count: int, objects: int, known: int, rng: np.random.Generator) -> list[Asked]:
    """What to ask for: `objects` different numbers of `known` sprites, then a place. Sprites and places come in
    turn, in random order, so that none is asked for twice before all are asked for once."""
    size = count * objects
    order = np.concatenate([rng.permutation(known) for _ in range(size // known + 1)])
    sprites = [order[i * objects : (i + 1) * objects] for i in range(count)]
    for row in sprites:
        while len(set(row.tolist())) < objects:  # only where one permutation ends and the next begins
            row[-1] = rng.integers(known)
    places = np.concatenate([rng.permutation(len(BACKGROUNDS)) for _ in range(count // len(BACKGROUNDS) + 1)])
    return [(*(int(number) for number in row), int(place)) for row, place in zip(sprites, places, strict=False)]


def prompts_of(asked: Sequence[Asked], roster: Sequence[SpriteName]) -> list[str]:
    """ "a photo of a red apple and a frog on grass" for each."""
    return [prompt_of([roster[number] for number in row[:-1]], row[-1]) for row in asked]


def composed(settings: WorldSettings, count: int, objects: int, seed: int) -> tuple[Pictures, list[Asked]]:
    """`count` fresh scenes of `objects` of the world's sprites each, and what is on them, as `draw_asked` gives it."""
    world = World(replace(settings, object_counts=(*[0.0] * objects, 1.0), seed=seed))
    scenes = [world.scene(i) for i in range(count)]
    facts = [(*(settings.roster.index(s) for s in scene.objects), scene.background) for scene in scenes]
    return np.stack([scene.image for scene in scenes]), facts


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
def measure_vae(vae: AutoencoderKL, world: WorldSettings, sheets: Path, scenes: int = 256) -> None:
    """Print the reconstruction of scenes of held-out sprites; a sheet of eight, originals above."""
    unseen = World(replace(world, roster=HELD_OUT, seed=902))
    images = to_tensor([unseen.scene(i).image for i in range(scenes)])
    psnr = np.mean([reconstruction_psnr(vae, images[i : i + 1]) for i in range(len(images))])
    print(f"vae: psnr {psnr:.2f} dB on {scenes} held-out scenes", flush=True)
    first = to_images(images[:8]).numpy()
    save_sheet(np.concatenate([first, through(vae, first)]), sheets / "vae.png")


def print_distances(clip: ClipJudge, kinds: dict[str, Pictures], reference: Pictures) -> None:
    """Frechet distance of each kind's features to the reference's, times 100; all kinds of one size."""
    wanted = clip.image_features(reference)
    for name, pictures in kinds.items():
        distance = 100 * frechet_distance(clip.image_features(pictures), wanted)
        print(f"  distance to the world, {name:28s} {distance:7.2f}   ({len(pictures)} pictures)", flush=True)


def measure_base(
    pipeline: StableDiffusionPipeline, clip: ClipJudge, world: WorldSettings, sheets: Path, settings: BaseSettings
) -> None:
    """Print how well prompts of the world's sprites are followed, and how far the pictures are from composed ones;
    write two sheets."""
    roster, rng = world.roster, np.random.default_rng(settings.seed)
    reader = Reader(clip, roster)
    real1, facts1 = composed(world, settings.singles, 1, seed=906)
    real2, facts2 = composed(world, settings.pairs, 2, seed=907)
    soft1, soft2 = through(pipeline.vae, real1), through(pipeline.vae, real2)
    for name, one, two in (("composed scenes", real1, real2), ("through the autoencoder", soft1, soft2)):
        print(f"judge on {name}: one object: {score_singles(reader, one, facts1)}; "
              f"two: {score_pairs(reader, two, [f[:2] for f in facts2])}", flush=True)  # fmt: skip
    asked1 = draw_asked(settings.singles, 1, len(roster), rng)
    asked2 = draw_asked(settings.pairs, 2, len(roster), rng)
    began = time.monotonic()
    made1 = generate(pipeline, prompts_of(asked1, roster), settings)
    made2 = generate(pipeline, prompts_of(asked2, roster), settings)
    seconds = (time.monotonic() - began) / (len(made1) + len(made2))
    print(f"base, steps {settings.steps} guidance {settings.guidance}, {seconds:.2f} s a picture: one object: "
          f"{score_singles(reader, made1, asked1)}; two: {score_pairs(reader, made2, [a[:2] for a in asked2])}",
          flush=True)  # fmt: skip
    share = settings.singles / (settings.singles + settings.pairs)
    many1 = round(settings.reference * share)
    reference = [composed(world, many1, 1, 908)[0], composed(world, settings.reference - many1, 2, 909)[0]]
    real = np.concatenate([real1, real2])
    kinds = {
        "composed scenes (floor)": real,
        "through the autoencoder": np.concatenate([soft1, soft2]),
        "generated": np.concatenate([made1, made2]),
        "places without objects": composed(world, len(real), 0, 910)[0],
        "noise (ceiling)": rng.integers(0, 256, real.shape, dtype=np.uint8),
    }
    print_distances(clip, kinds, np.concatenate(reference))
    save_sheet(made1, sheets / "singles.webp", columns=16, zoom=1)
    save_sheet(sample(pipeline, list(SHEET_PROMPTS)), sheets / "prompts.png")


def load_pipeline(folder: Path) -> StableDiffusionPipeline:
    """The base model in fp32, with no progress bar."""
    pipeline = StableDiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def main() -> None:
    """Print each number as it is known."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sprites", type=Path, required=True, help="assets folder of @lobehub/fluent-emoji-3d")
    parser.add_argument("--base", type=Path, required=True, help="folder of the base model")
    parser.add_argument("--clip", required=True, help="folder of the judge")
    parser.add_argument("--sheets", type=Path, default=Path("sheets"), help="folder for the sample sheets")
    defaults = BaseSettings()
    for name in ("singles", "pairs", "reference", "steps", "seed"):
        parser.add_argument(f"--{name}", type=int, default=getattr(defaults, name))
    parser.add_argument("--guidance", type=float, default=defaults.guidance)
    parser.add_argument("--world", choices=("calm", "full"), default="calm", help="the one that the base learned")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    pipeline = load_pipeline(args.base)
    world = world_settings(args.world, args.sprites)
    measure_vae(pipeline.vae, world, args.sheets)
    settings = BaseSettings(args.singles, args.pairs, args.reference, args.steps, args.guidance, args.seed)
    measure_base(pipeline, load_clip(args.clip), world, args.sheets, settings)


if __name__ == "__main__":
    main()

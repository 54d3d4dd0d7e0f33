"""Measure the finished seedling: the numbers of the model card, and its sample sheets.

python -m models.training.measure --sprites assets --seedling models/seedling --sheets models/sheets
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from segment_anything.modeling import Sam

from models.training.backgrounds import BACKGROUNDS
from models.training.base import SHEET_PROMPTS, sample, save_sheet
from models.training.judge import Judge, train_judge
from models.training.sam import best_iou, mask_generator
from models.training.sprites import HELD_OUT, TRAINING
from models.training.vae import reconstruction_psnr, to_images, to_tensor
from models.training.world import World, WorldSettings
from stages.sam_model import load_sam


def single_object_prompts() -> tuple[list[str], list[tuple[int, int]]]:
    """A prompt like "a photo of a red apple on grass" for every sprite on every background, and which two they are."""
    prompts, wanted = [], []
    for number, sprite in enumerate(TRAINING):
        for place, background in enumerate(BACKGROUNDS):
            article = "an" if sprite.colour[0] in "aeiou" else "a"
            prompts.append(f"a photo of {article} {sprite.colour} {sprite.noun} {background.phrases[0]}")
            wanted.append((number, place))
    return prompts, wanted


def agreement(judge: Judge, images: np.ndarray, wanted: list[tuple[int, int]]) -> str:
    """Shares of pictures whose background, colour and noun the judge reads as wanted, as one line of text."""
    verdict = judge.verdict(images)
    nouns, places = (torch.tensor(column) for column in zip(*wanted, strict=True))
    colours = torch.tensor([judge.colours.index(judge.roster[noun].colour) for noun in nouns])
    shares = [
        (a == b).float().mean().item()
        for a, b in ((verdict.background, places), (verdict.colour, colours), (verdict.noun, nouns))
    ]
    return "background {:.3f} colour {:.3f} noun {:.3f}".format(*shares)


def ready_judge(sprites: Path, kept: Path | None) -> Judge:
    """The judge kept in the file `kept`, or a fresh one, which is then kept there."""
    if kept is None or not kept.exists():
        judge = train_judge(World(WorldSettings(sprites, seed=900)))
        if kept is not None:
            torch.save(judge.state_dict(), kept)
        return judge
    judge = Judge(TRAINING)
    judge.load_state_dict(torch.load(kept, weights_only=True))
    return judge.eval()


def measure_vae(pipeline: StableDiffusionPipeline, sprites: Path, sheets: Path) -> None:
    """Reconstruction of 256 scenes of held-out sprites; a sheet of eight, originals above."""
    world = World(WorldSettings(sprites, HELD_OUT, seed=902))
    images = to_tensor([world.scene(i).image for i in range(256)])
    print(f"vae: psnr {reconstruction_psnr(pipeline.vae, images):.2f} dB on 256 held-out scenes", flush=True)
    output = pipeline.vae.decode(pipeline.vae.encode(images[:8]).latent_dist.mode()).sample
    save_sheet(np.concatenate([to_images(images[:8]).numpy(), to_images(output).numpy()]), sheets / "vae.png")


def measure_base(pipeline: StableDiffusionPipeline, args: argparse.Namespace) -> None:
    """Prompt following by the judge's reading, after the judge's own accuracy on composed scenes, crisp and through
    the autoencoder; a sheet of every prompt measured and one of mixed prompts."""
    judge = ready_judge(args.sprites, args.judge)
    single = World(WorldSettings(args.sprites, object_counts=(0, 1), seed=901))
    scenes = [single.scene(i) for i in range(200)]
    facts = [(TRAINING.index(scene.objects[0]), scene.background) for scene in scenes]
    print("judge on composed scenes:", agreement(judge, np.stack([s.image for s in scenes]), facts), flush=True)
    latents = pipeline.vae.encode(to_tensor([scene.image for scene in scenes])).latent_dist.mode()
    print("judge through the vae:", agreement(judge, to_images(pipeline.vae.decode(latents).sample).numpy(), facts))
    prompts, wanted = single_object_prompts()
    prompts, wanted = prompts[:: args.every], wanted[:: args.every]
    for steps, guidance in itertools.product(args.steps, args.guidance):
        began = time.monotonic()
        made = sample(pipeline, prompts, seed=1, steps=steps, guidance=guidance)
        seconds = (time.monotonic() - began) / len(prompts)
        read = agreement(judge, made, wanted)
        print(f"base: steps {steps} guidance {guidance}: {read}, {seconds:.2f} s a picture", flush=True)
    save_sheet(made, args.sheets / "all-prompts.png", columns=16, zoom=1)
    save_sheet(sample(pipeline, list(SHEET_PROMPTS)), args.sheets / "prompts.png")


def measure_sam(sam: Sam, sprites: Path, sheets: Path) -> None:
    """Best automatic mask of each object of 100 scenes of held-out sprites; a sheet with the masks that are smaller
    than half the picture painted over it."""
    world = World(WorldSettings(sprites, HELD_OUT, seed=903))
    mean, found, masks = best_iou(sam, world, 100)
    print(f"sam: mean best iou {mean:.3f}, found {found:.3f}, {masks:.1f} masks a scene on 100 scenes", flush=True)
    generator = mask_generator(sam)
    painted = []
    for scene in (world.scene(i) for i in range(16)):
        picture = scene.image.copy()
        small = [m["segmentation"] for m in generator.generate(scene.image) if m["area"] < picture[..., 0].size / 2]
        for colour, mask in zip(itertools.cycle(((255, 0, 60), (0, 90, 255), (0, 220, 90), (255, 220, 0))), small):
            picture[mask] = (0.35 * picture[mask] + 0.65 * np.array(colour)).astype(np.uint8)
        painted.append(picture)
    crisp = np.stack([world.scene(i).image for i in range(16)])
    pairs = np.concatenate([crisp[:8], np.stack(painted[:8]), crisp[8:], np.stack(painted[8:])])
    save_sheet(pairs, sheets / "sam.png")


@torch.no_grad()
def main() -> None:
    """Print each number as it is known."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sprites", type=Path, required=True, help="assets folder of @lobehub/fluent-emoji-3d")
    parser.add_argument("--seedling", type=Path, required=True, help="folder with base/ and sam/")
    parser.add_argument("--sheets", type=Path, required=True, help="folder for the sample sheets")
    parser.add_argument("--guidance", type=float, nargs="+", default=[3.0], help="guidance scales to measure")
    parser.add_argument("--steps", type=int, nargs="+", default=[20], help="sampling steps to measure")
    parser.add_argument("--every", type=int, default=1, help="measure every n-th of the 160 prompts")
    parser.add_argument("--only", choices=("vae", "base", "sam"), nargs="+", default=["vae", "base", "sam"])
    parser.add_argument("--judge", type=Path, help="file to keep the trained judge in, for the next measurement")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    pipeline = StableDiffusionPipeline.from_pretrained(args.seedling / "base", torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    if "vae" in args.only:
        measure_vae(pipeline, args.sprites, args.sheets)
    if "base" in args.only:
        measure_base(pipeline, args)
    if "sam" in args.only:
        measure_sam(load_sam(str(args.seedling / "sam"), "cpu"), args.sprites, args.sheets)


if __name__ == "__main__":
    main()

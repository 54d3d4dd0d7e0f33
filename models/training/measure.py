"""Measure the finished seedling: all numbers of the model card, and its sample sheets.

    python -m models.training.measure --sprites assets --seedling models/seedling --sheets models/sheets

Each model has a script of its own with more options: `measure_base`, `measure_sam`, `measure_clip`. Under ten minutes
on two cores.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from models.training.measure_base import BaseSettings, load_pipeline, measure_base, measure_vae
from models.training.measure_clip import measure_clip
from models.training.measure_sam import JOB, measure_sam
from models.training.world import world_settings
from schemas.spec_file import load_spec
from stages.models.clip import load_clip
from stages.models.sam import load_sam

MODELS = ("clip", "vae", "base", "sam")


def measure(args: argparse.Namespace) -> None:
    """Print each number as it is known; the judge first, because others are read by it."""
    began, world = time.monotonic(), world_settings(args.world, args.sprites)
    if "clip" in args.only:
        measure_clip(load_clip(str(args.seedling / "clip")), world, args.scenes)
    if "vae" in args.only:
        measure_vae(load_pipeline(args.seedling / "base").vae, world, args.sheets, max(8, args.scenes // 4))
    if "base" in args.only:
        settings = BaseSettings(args.singles, args.pairs, args.reference, args.steps, args.guidance)
        clip = load_clip(str(args.seedling / "clip"))
        measure_base(load_pipeline(args.seedling / "base"), clip, world, args.sheets, settings)
    if "sam" in args.only:
        sam, segment = load_sam(str(args.seedling / "sam"), "cpu"), load_spec(JOB).segment
        count = max(1, args.scenes // 5)
        score = measure_sam(sam, args.sprites, segment, count, sheet=args.sheets / "sam.png")
        print(f"sam, one point an object: {score.points}", flush=True)
        print(f"sam, automatic: {score.concepts}", flush=True)
    print(f"measured in {(time.monotonic() - began) / 60:.1f} minutes", flush=True)


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--sprites", type=Path, required=True, help="assets folder of @lobehub/fluent-emoji-3d")
    parser.add_argument("--seedling", type=Path, required=True, help="folder with base/, sam/ and clip/")
    parser.add_argument("--sheets", type=Path, required=True, help="folder for the sample sheets")
    parser.add_argument("--only", choices=MODELS, nargs="+", default=list(MODELS))
    defaults = BaseSettings()
    parser.add_argument(
        "--scenes",
        type=int,
        default=1000,
        help="held-out scenes for the judge; a quarter of them for the autoencoder, a fifth for masks",
    )
    parser.add_argument("--singles", type=int, default=defaults.singles, help="prompts of one object")
    parser.add_argument("--pairs", type=int, default=defaults.pairs, help="prompts of two objects")
    parser.add_argument("--reference", type=int, default=defaults.reference, help="scenes that distances are to")
    parser.add_argument("--steps", type=int, default=defaults.steps, help="sampling steps")
    parser.add_argument("--guidance", type=float, default=defaults.guidance)
    parser.add_argument("--world", choices=("calm", "full"), default="calm", help="the one that the models learned")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    measure(args)


if __name__ == "__main__":
    main()

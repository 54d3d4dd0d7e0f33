"""Measure the finished seedling: all numbers of the model card, and its sample sheets.

    python -m models.training.measure --seedling out/seedling --sheets out/seedling/sheets

Each model has a script of its own with more options: `measure` in the rooms `judge`, `reading`, `base`, `masks`, and
`base.measure_personalised`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from models.training.base import measure_personalised
from models.training.base.measure import BaseSettings, load_pipeline, measure_base, measure_vae
from models.training.judge.measure import measure_clip
from models.training.masks.measure import JOB, measure_sam, print_kinds, print_score
from models.training.reading.facts import Reader
from models.training.reading.matching import TemplateReader
from models.training.reading.measure import SCENES, print_readings
from models.training.reading.network import load_reader
from schemas.spec_file import load_spec
from stages.models.clip import load_clip
from stages.models.sam import load_sam

PARTS = ("clip", "reading", "vae", "base", "sam", "personalised")


def measure(args: argparse.Namespace) -> None:
    """Print each number as it is known; those who read pictures first, because others are read by them."""
    began = time.monotonic()
    folder, sheets = args.seedling, args.sheets
    if "clip" in args.only:
        measure_clip(load_clip(str(folder / "clip")), args.scenes, folder / "base" / "vae")
    if "reading" in args.only:
        print_readings(load_pipeline(folder / "base").vae, SCENES)
    if "vae" in args.only:
        measure_vae(load_pipeline(folder / "base").vae, sheets, max(8, args.scenes // 4))
    if "base" in args.only:
        readers: dict[str, Reader] = {"judge": load_reader(folder / "reader"), "templates": TemplateReader()}
        settings = BaseSettings(args.singles, args.pairs, args.steps, args.guidance)
        measure_base(load_pipeline(folder / "base"), readers, settings, sheets)
    if "sam" in args.only:
        sam, segment = load_sam(str(folder / "sam"), "cpu"), load_spec(JOB).segment
        print_score(measure_sam(sam, segment, max(1, args.scenes // 5), sheet=sheets / "sam.png"))
        print_kinds(sam, segment, max(1, args.scenes // 16))
    if "personalised" in args.only:
        models = [f"--{name}={folder / name}" for name in ("base", "sam", "reader")]
        given = [*models, f"--sheet={sheets / 'personalised.png'}", "--known", "--methods", "break_a_scene", "ti_m"]
        measure_personalised.measure(measure_personalised.options().parse_args(given), {})
    print(f"measured in {(time.monotonic() - began) / 60:.1f} minutes", flush=True)


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--seedling", type=Path, required=True, help="folder with base/, sam/, clip/ and reader/")
    parser.add_argument("--sheets", type=Path, required=True, help="folder for the sample sheets")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS))
    defaults = BaseSettings()
    parser.add_argument(
        "--scenes",
        type=int,
        default=1000,
        help="scenes for the judge; a quarter of them for the autoencoder, a fifth for masks",
    )
    parser.add_argument("--singles", type=int, default=defaults.singles, help="prompts of one toy")
    parser.add_argument("--pairs", type=int, default=defaults.pairs, help="prompts of two toys")
    parser.add_argument("--steps", type=int, default=defaults.steps, help="sampling steps")
    parser.add_argument("--guidance", type=float, default=defaults.guidance)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    measure(args)


if __name__ == "__main__":
    main()

"""Masks of one's own for some of the demo's scenes: several of one thing, one within another, and two that touch.

    python -m models.training.world.demo_parts --demo demo

Made of the bucket and its truth, as coarsely as a person draws: a thing is cut along a row.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Mask = NDArray[np.bool_]


def cut(mask: Mask, row: int) -> tuple[Mask, Mask]:
    """What of a mask lies above a row, and what from it on."""
    above = mask.copy()
    above[row:] = False
    return above, mask & ~above


def parts_of(demo: Path) -> dict[str, tuple[Mask, ...]]:
    """File of the bucket -> masks, by index."""

    def truth(name: str) -> Mask:
        return np.array(Image.open(demo / "truth" / f"{name}.png").convert("1"))

    mushroom = truth("scene-04.mask1")
    return {
        "scene-04.jpg": (mushroom, cut(mushroom, 86)[0]),  # a mushroom, and its cap, which lies within
        "scene-07.jpg": cut(truth("scene-07.mask0"), 209),  # the sail of a boat, and its hull
        "scene-08.png": (
            truth("scene-08.mask1"),
            truth("scene-08.mask0"),
        ),  # a cone, and what is seen of a tree behind it
    }


def main() -> None:
    """Write pictures and masks to `parts/`, beside the bucket."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--demo", type=Path, default=Path("demo"), help="folder with bucket/ and truth/")
    demo = parser.parse_args().demo
    (demo / "parts").mkdir(exist_ok=True)
    for file, masks in parts_of(demo).items():
        shutil.copyfile(demo / "bucket" / file, demo / "parts" / file)
        for index, mask in enumerate(masks):
            Image.fromarray(mask).save(demo / "parts" / f"{Path(file).stem}.mask{index}.png", optimize=True)


if __name__ == "__main__":
    main()

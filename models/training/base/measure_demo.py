"""Say of the demo's pictures what share shows the toys that they were asked for, as the reader of facts sees them.

    unscene run demo
    python -m models.training.base.measure_demo --output out/demo --truth demo/truth --reader models/seedling/reader

A concept is the toy whose true mask it covers; a picture asked for one that is nobody's counts as wrong.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import unscene
from models.training.reading.facts import read_facts
from models.training.reading.network import load_reader
from models.training.world.demo_bucket import SCENES, toy_named
from models.training.world.roster import NEW_SHAPES, Toy
from unscene.scene import Scene

SAME = 0.5
"""IoU from which on a concept is a toy's."""


def square_mask(file: Path, side: int) -> NDArray[np.bool_]:
    """The true mask as ingest prepares its picture: the centred square, bool [side, side]."""
    mask = Image.open(file).convert("L")
    edge = min(mask.size)
    left, top = (mask.width - edge) // 2, (mask.height - edge) // 2
    square = mask.crop((left, top, left + edge, top + edge)).resize((side, side), Image.Resampling.BOX)
    return np.asarray(square) > 127


def toys_of(masks: NDArray[np.bool_], number: int, truth: Path) -> list[Toy | None]:
    """The toy of each concept of the demo's scene `number`, None where it is nobody's. masks: [concepts, h, w]."""
    true = [
        (toy_named(name), square_mask(truth / f"scene-{number:02d}.mask{slot}.png", masks.shape[-1]))
        for slot, name in enumerate(SCENES[number].toys)
    ]
    found: list[Toy | None] = []
    for mask in masks:
        iou, best = max(((mask & other).sum() / (mask | other).sum(), slot) for slot, (_, other) in enumerate(true))
        found.append(true[best][0] if iou >= SAME else None)
    return found


def scenes_and_toys(output: str, truth: Path) -> Iterator[tuple[Scene, int, list[Toy | None]]]:
    """A finished demo's scenes that did not fail, each with its number in the bucket and the toy of each concept."""
    for scene in unscene.open(output).scenes():
        if not scene.failure:
            number = int(Path(scene.name).stem.removeprefix("scene-"))
            yield scene, number, toys_of(scene.masks, number, truth)


def arguments(description: str) -> argparse.ArgumentParser:
    """What is measured on a demo."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--output", required=True, help="of the demo, finished")
    parser.add_argument("--truth", type=Path, required=True, help="folder of the true masks")
    parser.add_argument("--reader", type=Path, required=True, help="folder of the judge of facts")
    return parser


def main() -> None:
    """Print a line for all pictures, for those of new silhouettes, for the others; and what was missed."""
    args = arguments(__doc__.splitlines()[0]).parse_args()
    pictures: list[NDArray[np.uint8]] = []
    asked: list[tuple[Toy, ...]] = []
    nobodys = missed = 0
    for scene, number, toys in scenes_and_toys(args.output, args.truth):
        missed += len({toy_named(name) for name in SCENES[number].toys} - set(toys))
        for variation in scene.variations:
            names = [toys[index] for index in variation.row["concepts"]]
            known = tuple(toy for toy in names if toy is not None)
            if len(known) < len(names):
                nobodys += 1
            else:
                pictures.append(np.asarray(variation.picture))
                asked.append(known)
    reader, stacked = load_reader(args.reader), np.stack(pictures)
    new = np.array([any(toy in NEW_SHAPES for toy in toys) for toys in asked])
    for what, rows in (("all", new | ~new), ("with a new silhouette", new), ("the others", ~new)):
        chosen = np.flatnonzero(rows)
        print(f"demo, {what}: {read_facts(reader, stacked[chosen], [asked[row] for row in chosen])}")
    print(f"{nobodys} pictures of concepts that are no toy, {missed} toys without a concept")


if __name__ == "__main__":
    main()

"""Compose the protocol's scenes: held-out toys in twos and threes, with masks and words as a COCO instances file.

    python -m models.training.world.protocol_bucket --out demo/protocol

No model of the seedling but its judge has seen these toys. Two scenes in three are of new combinations of facts that
the base knows one by one, the third is of silhouettes that it has never seen: figures can be given for both.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from models.training.world.places.backgrounds import BACKGROUNDS
from models.training.world.roster import HELD_OUT, NEW_COMBINATIONS, NEW_SHAPES, Toy
from models.training.world.scene import Scene
from models.training.world.world import ToySettings, ToyWorld
from schemas.masks import encode_mask

SCENES = 48
EVERY_THIRD_CONCEPT = 6
"""Every so many scenes one has three concepts; the others have two. 40 x 3 + 8 x 7 = 176 subsets in all."""
EVERY_NEW_SHAPE = 3
"""Every so many scenes one is of new silhouettes."""
LEAST_AREA = 0.05
"""Of every concept, as a share of the picture."""


def company(seed: int, scenes: int = SCENES) -> list[tuple[Toy, ...]]:
    """The toys of each scene: of different silhouettes and colours, none in two scenes while others wait."""
    dice = np.random.default_rng(seed)
    waiting: dict[bool, list[Toy]] = {True: [], False: []}
    found: list[tuple[Toy, ...]] = []
    for number in range(scenes):
        new = number % EVERY_NEW_SHAPE == EVERY_NEW_SHAPE - 1
        size = 3 if number % EVERY_THIRD_CONCEPT == EVERY_THIRD_CONCEPT - 2 else 2
        if len(waiting[new]) < 24:
            group = NEW_SHAPES if new else NEW_COMBINATIONS
            waiting[new] += [group[i] for i in dice.permutation(len(group))]
        picks: list[Toy] = []
        for toy in list(waiting[new]):
            if all(toy.silhouette != other.silhouette and toy.colour != other.colour for other in picks):
                picks.append(toy)
                waiting[new].remove(toy)
            if len(picks) == size:
                break
        found.append(tuple(picks))
    return found


def compose(world: ToyWorld, number: int, toys: tuple[Toy, ...], seed: int) -> Scene:
    """Scene `number`: its company on the next place, each toy large enough to be seen."""
    for attempt in range(1000):
        rng = np.random.default_rng((seed, number, attempt))
        scene = world.compose(number % len(BACKGROUNDS), list(toys), rng)
        if min(mask.mean() for mask in scene.masks) >= LEAST_AREA:
            return scene
    raise RuntimeError(f"scene {number}: no placement found in 1,000 tries; lower LEAST_AREA")


def annotations(scene: Scene, image_id: int, first_id: int) -> list[dict[str, Any]]:
    """COCO's annotations of a scene, in the order of its objects; category ids count `HELD_OUT` from 1."""
    found = []
    for slot, (mask, toy) in enumerate(zip(scene.masks, scene.objects, strict=True)):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        left, top = int(columns[0]), int(rows[0])
        found.append(
            {
                "id": first_id + slot,
                "image_id": image_id,
                "category_id": HELD_OUT.index(toy) + 1,
                "segmentation": encode_mask(mask),
                "area": int(mask.sum()),
                "bbox": [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top],
                "iscrowd": 0,
            }
        )
    return found


def write_bucket(out: Path, seed: int, scenes: int = SCENES) -> int:
    """Writes `scene-00.png` ... and `instances.json` under `out`; returns the number of concepts. A category is a toy,
    called by its three facts."""
    world = ToySettings().open()
    out.mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    marks: list[dict[str, Any]] = []
    for number, toys in enumerate(company(seed, scenes)):
        scene, name = compose(world, number, toys, seed), f"scene-{number:02d}.png"
        Image.fromarray(scene.image).save(out / name, optimize=True)
        height, width = scene.image.shape[:2]
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        marks += annotations(scene, number, len(marks))
    shown = {mark["category_id"] for mark in marks}
    categories = [
        {"id": number, "name": toy.name, "supercategory": "new shape" if toy in NEW_SHAPES else "new combination"}
        for number, toy in enumerate(HELD_OUT, 1)
        if number in shown
    ]
    tree = {"images": images, "categories": categories, "annotations": marks}
    (out / "instances.json").write_text(json.dumps(tree, indent=1) + "\n", encoding="utf-8")
    return len(marks)


def main() -> None:
    """Write the scenes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures and instances.json")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--scenes", type=int, default=SCENES)
    args = parser.parse_args()
    concepts = write_bucket(args.out, args.seed, args.scenes)
    total = sum(path.stat().st_size for path in args.out.iterdir())
    print(f"protocol: {args.scenes} scenes with {concepts} concepts in {args.out}, {total / 1000:.0f} kB in all")


if __name__ == "__main__":
    main()

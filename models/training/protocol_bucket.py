"""Compose the protocol's scenes: held-out sprites in twos and threes, with masks and words as a COCO instances file.

    python -m models.training.protocol_bucket --sprites assets --out demo/protocol

No model of the seedling but its judge has seen these sprites, so their handles have to be learned from the pictures.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from models.training.backgrounds import BACKGROUNDS
from models.training.captions import Named
from models.training.sprites import HELD_OUT
from models.training.world import Scene, World, world_settings
from schemas.masks import encode_mask

SCENES = 24
EVERY_THIRD_CONCEPT = 6
"""Every so many scenes one has three concepts; the others have two. 20 x 3 + 4 x 7 = 88 subsets in all."""
LEAST_AREA = 0.04
"""Of every concept, as a share of the picture: less is a handful of cells where attention is compared."""


def company(seed: int) -> list[list[int]]:
    """Numbers of the held-out sprites of each scene: all come equally often, and no two scenes share a pair."""
    dice = np.random.default_rng(seed)
    found: list[list[int]] = []
    seen: set[frozenset[int]] = set()
    waiting: list[int] = []
    while len(found) < SCENES:
        size = 3 if len(found) % EVERY_THIRD_CONCEPT == EVERY_THIRD_CONCEPT - 1 else 2
        if len(waiting) < size:
            waiting += [int(number) for number in dice.permutation(len(HELD_OUT))]
        picks = waiting[:size]
        pairs = {frozenset((a, b)) for a in picks for b in picks if a != b}
        if len(set(picks)) == size and not pairs & seen:
            seen |= pairs
            found.append(picks)
            waiting = waiting[size:]
        else:
            waiting.append(waiting.pop(0))
    return found


def compose(world: World, number: int, picks: list[int], seed: int) -> Scene:
    """Scene `number`: its company on the next background, each concept large enough to be seen."""
    for attempt in range(1000):
        rng = np.random.default_rng((seed, number, attempt))
        scene = world.compose(number % len(BACKGROUNDS), picks, rng)
        if min(mask.mean() for mask in scene.masks) >= LEAST_AREA:
            return scene
    raise RuntimeError(f"scene {number}: no placement found in 1,000 tries; lower LEAST_AREA")


def annotations(scene: Scene, image_id: int, first_id: int, roster: Sequence[Named]) -> list[dict[str, Any]]:
    """COCO's annotations of a scene, in the order of its objects; category ids count the roster from 1."""
    found = []
    for slot, (mask, sprite) in enumerate(zip(scene.masks, scene.objects, strict=True)):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        left, top = int(columns[0]), int(rows[0])
        found.append(
            {
                "id": first_id + slot,
                "image_id": image_id,
                "category_id": roster.index(sprite) + 1,
                "segmentation": encode_mask(mask),
                "area": int(mask.sum()),
                "bbox": [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top],
                "iscrowd": 0,
            }
        )
    return found


def write_bucket(sprites: Path, out: Path, seed: int, kind: str) -> int:
    """Writes `scene-00.png` ... and `instances.json` under `out`; returns the number of concepts.

    kind: of the world, as in `world_settings`; the one that the base model has learned.
    """
    world = World(world_settings(kind, sprites, HELD_OUT))
    out.mkdir(parents=True, exist_ok=True)
    images, marks = [], []
    for number, picks in enumerate(company(seed)):
        scene, name = compose(world, number, picks, seed), f"scene-{number:02d}.png"
        Image.fromarray(scene.image).save(out / name, optimize=True)
        height, width = scene.image.shape[:2]
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        marks += annotations(scene, number, len(marks), HELD_OUT)
    categories = [{"id": number, "name": sprite.noun} for number, sprite in enumerate(HELD_OUT, 1)]
    tree = {"images": images, "categories": categories, "annotations": marks}
    (out / "instances.json").write_text(json.dumps(tree, indent=1) + "\n", encoding="utf-8")
    return len(marks)


def main() -> None:
    """Write the scenes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sprites", type=Path, required=True, help="assets folder of @lobehub/fluent-emoji-3d")
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures and instances.json")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--world", choices=("calm", "full"), default="calm", help="the world of the base model")
    args = parser.parse_args()
    concepts = write_bucket(args.sprites, args.out, args.seed, args.world)
    total = sum(path.stat().st_size for path in args.out.iterdir())
    print(f"protocol: {SCENES} scenes with {concepts} concepts in {args.out}, {total / 1000:.0f} kB in all")


if __name__ == "__main__":
    main()

"""Compose the demo's bucket: ten scenes of held-out toys, the files no bucket is without, and the truth beside it.

    python -m models.training.world.demo_bucket --out demo

`bucket/` is what a job reads: the scenes are larger than the seedling's 128 pixels and not all square, so that ingest
has work to do, and four files are broken in four ways. `truth/` is for evaluation only; no stage reads it.
"""

from __future__ import annotations

import argparse
import json
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import binary_dilation

from models.training.world.places.backgrounds import BACKGROUNDS
from models.training.world.roster import HELD_OUT, Toy
from models.training.world.scene import Scene
from models.training.world.world import ToySettings

_EDGE = 40
"""Pixels of common edge at least, where one toy stands before another."""
_GAP = 6
"""Pixels between toys in all other scenes."""


@dataclass(frozen=True)
class Planned:
    """A scene of the demo: its place's name, its toys as "colour pattern silhouette", what is hard about it, its
    suffix, size, and whether one toy stands before another."""

    place: str
    toys: tuple[str, ...]
    difficulty: str
    suffix: str = "jpg"
    width: int = 256
    height: int = 256
    overlap: bool = False


SCENES = (
    Planned("beach", ("blue spotted fish", "red striped boat"), "new combinations of facts that the base knows"),
    Planned("snow", ("purple plain heart", "orange spotted butterfly"), "a silhouette that the base has never seen"),
    Planned("wooden floor", ("yellow striped duck", "red ringed ball", "green plain cube"), "three concepts", "png"),
    Planned("grass", ("white checked house", "red plain flower"), "not square", width=320),
    Planned("street", ("blue striped arrow", "blue striped mushroom"), "one colour and pattern, two silhouettes"),
    Planned("pink fabric", ("blue plain house", "yellow spotted house"), "one silhouette twice"),
    Planned("night", ("white plain moon", "red striped rocket"), "dark ground"),
    Planned("water", ("pink striped boat",), "one concept", width=240, height=300),
    Planned("desert", ("purple ringed tree", "black plain cone"), "one before the other", "png", overlap=True),
    Planned("checkerboard", ("pink plain bunny", "green striped cup", "purple striped star"), "busy ground"),
)


def toy_named(name: str) -> Toy:
    """The held-out toy "colour pattern silhouette". Raises ValueError where there is none, or it is not held out."""
    colour, pattern, silhouette = name.split()
    toy = Toy(silhouette, colour, pattern)
    if toy not in HELD_OUT:
        raise ValueError(f"{name} is no toy that is held out")
    return toy


def in_central_square(masks: np.ndarray) -> bool:
    """True when no object reaches outside the centred square, which is what a square crop keeps. masks: [k, h, w]."""
    height, width = masks.shape[1:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return int(masks[:, top : top + side, left : left + side].sum()) == int(masks.sum())


def compose(number: int, seed: int) -> Scene:
    """Scene `number`: each toy well in view, as `SCENES` plans it."""
    plan = SCENES[number]
    place = [background.name for background in BACKGROUNDS].index(plan.place)
    settings = ToySettings(height=plan.height, width=plan.width, overlaps=float(plan.overlap))
    world, toys = settings.open(), [toy_named(name) for name in plan.toys]
    for attempt in range(10_000):
        rng = np.random.default_rng((seed, number, attempt))
        scene = world.compose(place, toys, rng)
        if in_central_square(scene.masks) and (_one_before_the_other if plan.overlap else _apart)(scene):
            return scene
    raise RuntimeError(f"scene {number}: no placement found in 10,000 tries; make its toys smaller or fewer")


def _apart(scene: Scene) -> bool:
    """No two toys within `_GAP` pixels of each other."""
    grown = [binary_dilation(mask, iterations=_GAP) for mask in scene.masks]
    return not any((grown[i] & scene.masks[j]).any() for i in range(len(grown)) for j in range(i))


def _one_before_the_other(scene: Scene) -> bool:
    """The second toy's edge runs along the visible part of the first."""
    behind, front = scene.masks
    return np.count_nonzero(binary_dilation(front) & behind) >= _EDGE


def png_bomb(side: int = 60_000) -> bytes:
    """A PNG whose header declares side x side pixels and which holds none: a decoder that believes it runs out of
    memory."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")
    )


def write_broken(bucket: Path, whole_jpeg: bytes) -> None:
    """Four files that a real bucket holds sooner or later: each must cost one row of failures and no more. Their names
    sort behind the scenes', so that the first few files of the bucket are pictures."""
    (bucket / "unusable-truncated.jpg").write_bytes(whole_jpeg[: len(whole_jpeg) // 3])
    (bucket / "unusable-empty.jpg").write_bytes(b"")
    (bucket / "unusable-text.jpg").write_text("<html><body>403 Forbidden</body></html>\n", encoding="utf-8")
    (bucket / "unusable-huge.png").write_bytes(png_bomb())


def main() -> None:
    """Write bucket and truth."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder that gets bucket/ and truth/")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    bucket, truth = args.out / "bucket", args.out / "truth"
    bucket.mkdir(parents=True, exist_ok=True)
    truth.mkdir(parents=True, exist_ok=True)
    facts = {}
    for number, plan in enumerate(SCENES):
        scene, stem = compose(number, args.seed), f"scene-{number:02d}"
        quality = {"optimize": True} if plan.suffix == "png" else {"quality": 92}
        Image.fromarray(scene.image).save(bucket / f"{stem}.{plan.suffix}", **quality)
        for slot, mask in enumerate(scene.masks):
            Image.fromarray(mask).save(truth / f"{stem}.mask{slot}.png", optimize=True)
        background = BACKGROUNDS[scene.background]
        facts[stem] = {
            "toys": [toy_named(name).name for name in plan.toys],
            "difficulty": plan.difficulty,
            "background": background.name,
            "phrase": background.phrases[0],
            "width": plan.width,
            "height": plan.height,
        }
    (truth / "scenes.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    write_broken(bucket, (bucket / "scene-00.jpg").read_bytes())
    total = sum(path.stat().st_size for folder in (bucket, truth) for path in folder.iterdir())
    print(f"demo: {len(SCENES)} scenes and 4 broken files in {bucket}, {total / 1000:.0f} kB in all")


if __name__ == "__main__":
    main()

"""Compose the demo's bucket: ten scenes of held-out sprites, the files no bucket is without, and the truth beside it.

    python -m models.training.demo_bucket --sprites assets --out demo

`bucket/` is what a job reads: the scenes are larger than the seedling's 64 pixels and not all square, so that ingest
has work to do, and four files are broken in four ways. `truth/` is for evaluation only; no stage reads it.
"""

from __future__ import annotations

import argparse
import json
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from models.training.backgrounds import BACKGROUNDS
from models.training.sprites import HELD_OUT
from models.training.world import Scene, World, world_settings

SIZES = ((256, 256),) * 3 + ((320, 256),) + ((256, 256),) * 3 + ((240, 300),) + ((256, 256),) * 2
"""Width and height of each scene, pixels."""

PNG_SCENES = (2, 8)
"""Scenes kept as PNG; the others are JPEG of quality 92."""


def in_central_square(masks: np.ndarray) -> bool:
    """True when no object reaches outside the centred square, which is what a square crop keeps. masks: [k, h, w]."""
    height, width = masks.shape[1:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return int(masks[:, top : top + side, left : left + side].sum()) == int(masks.sum())


def compose(kind: str, sprites: Path, number: int, seed: int) -> Scene:
    """Scene `number`: two or three held-out sprites no other scene has in the same company, each well in view."""
    width, height = SIZES[number]
    settings = world_settings(kind, sprites, HELD_OUT, height=height, width=width, overlaps=0.0, seed=seed + number)
    world = World(settings)
    for index in range(10_000):
        rng = np.random.default_rng((seed, number, index))
        picks = [(number * 3 + i * 11) % len(HELD_OUT) for i in range(3 if number % 3 == 0 else 2)]
        scene = world.compose(number % len(BACKGROUNDS), picks, rng)
        gaps = [np.count_nonzero(a & _grown(b)) == 0 for i, a in enumerate(scene.masks) for b in scene.masks[:i]]
        if in_central_square(scene.masks) and all(gaps):
            return scene
    raise RuntimeError(f"scene {number}: no placement found in 10,000 tries; make its objects smaller or fewer")


def _grown(mask: np.ndarray, pixels: int = 6) -> np.ndarray:
    """The mask grown by `pixels` along both axes."""
    grown = mask.copy()
    for axis in (0, 1):
        grown = np.any([np.roll(grown, shift, axis) for shift in range(-pixels, pixels + 1)], axis=0)
    return grown


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
    """Four files that a real bucket holds sooner or later: each must cost one row of failures and no more."""
    (bucket / "broken-truncated.jpg").write_bytes(whole_jpeg[: len(whole_jpeg) // 3])
    (bucket / "broken-empty.jpg").write_bytes(b"")
    (bucket / "broken-text.jpg").write_text("<html><body>403 Forbidden</body></html>\n", encoding="utf-8")
    (bucket / "broken-huge.png").write_bytes(png_bomb())


def main() -> None:
    """Write bucket and truth."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sprites", type=Path, required=True, help="assets folder of @lobehub/fluent-emoji-3d")
    parser.add_argument("--out", type=Path, required=True, help="folder that gets bucket/ and truth/")
    parser.add_argument("--world", choices=("calm", "full"), default="calm", help="the world that the models know")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    bucket, truth = args.out / "bucket", args.out / "truth"
    bucket.mkdir(parents=True, exist_ok=True)
    truth.mkdir(parents=True, exist_ok=True)
    facts = {}
    for number in range(len(SIZES)):
        scene, stem = compose(args.world, args.sprites, number, args.seed), f"scene-{number:02d}"
        image = Image.fromarray(scene.image)
        if number in PNG_SCENES:
            image.save(bucket / f"{stem}.png", optimize=True)
        else:
            image.save(bucket / f"{stem}.jpg", quality=92)
        for slot, mask in enumerate(scene.masks):
            Image.fromarray(mask).save(truth / f"{stem}.mask{slot}.png", optimize=True)
        background = BACKGROUNDS[scene.background]
        facts[stem] = {
            "nouns": [sprite.noun for sprite in scene.objects],
            "colours": [sprite.colour for sprite in scene.objects],
            "background": background.name,
            "phrase": background.phrases[0],
            "width": image.width,
            "height": image.height,
        }
    (truth / "scenes.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    write_broken(bucket, (bucket / "scene-00.jpg").read_bytes())
    total = sum(path.stat().st_size for path in args.out.rglob("*") if path.is_file())
    print(f"demo: {len(SIZES)} scenes and 4 broken files in {bucket}, {total / 1000:.0f} kB in all")


if __name__ == "__main__":
    main()

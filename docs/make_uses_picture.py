"""Draw docs/uses.webp from the demo's output and those that docs/uses.md makes: of each use the first scenes, the real
picture, its concepts, and new pictures. Nothing is picked by hand.

python -m docs.make_uses_picture out/demo out/demo-varied out/demo-named out/demo-empty out/demo-grounds out/demo-parts
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from docs.make_demo_picture import rows, samples
from pipeline.report.thumbnails import colour_of, overlay
from schemas.masks import decode_mask

TARGET = Path(__file__).parent / "uses.webp"
SIDE, GAP, LABEL, SHOWN, SCENES = 84, 5, 16, 4, 2
TITLES = (
    "variations of a picture",
    "prompts for each concept: the first on grass, beside the second",
    "without one of its objects",
    "the background alone",
    "parts: of each alone, then of both",
)


def main() -> None:
    """A row a scene: picture, concepts, and the first pictures of one template, one a subset before a second of any."""
    demo, varied, named, empty, grounds, parts = (Path(name) for name in sys.argv[1:])
    uses = [(demo, varied), (demo, named), (empty, empty), (empty, grounds), (parts, parts)]
    width, height = (SIDE + GAP) * (2 + SHOWN) * 2 - GAP + 2 * GAP, LABEL + (SIDE + GAP) * SCENES
    sheet = Image.new("RGB", (width, height * -(-len(uses) // 2)), "white")
    for number, (learned, made) in enumerate(uses):
        block = _block(TITLES[number], learned, made, width // 2, height)
        sheet.paste(block, (number % 2 * (width // 2 + GAP), number // 2 * height))
    sheet.save(TARGET, quality=80, method=6)
    print(f"{TARGET}: {TARGET.stat().st_size // 1024} KB")


def _block(title: str, learned: Path, made: Path, width: int, height: int) -> Image.Image:
    block = Image.new("RGB", (width, height), "white")
    ImageDraw.Draw(block).text((2, 1), title, fill=(90, 90, 90))
    scenes, pictures = samples(learned, "scenes"), samples(made, "variations")
    variations = rows(made, "variations")
    uris = sorted((str(row["uri"]), str(row["scene_id"])) for row in rows(learned, "scenes") if row["status"] == "ok")
    with_pictures = {str(row["scene_id"]) for row in variations}
    shown = [scene for _, scene in uris if scene in with_pictures][:SCENES]
    for line, scene in enumerate(shown):
        own = [row for row in variations if row["scene_id"] == scene]
        first = [row for row in own if row["template"] == own[0]["template"]]
        first.sort(key=lambda row: (_turn(row, first), str(row["key"])))
        masks = [
            (decode_mask(row["mask"]), colour_of(row["index"]))
            for row in rows(learned, "concepts")
            if row["scene_id"] == scene and row["origin"] != "background"
        ]
        cells = [scenes[scene], Image.fromarray(overlay(np.asarray(scenes[scene]), masks))]
        cells += [pictures[str(row["key"])] for row in first[:SHOWN]]
        for column, cell in enumerate(cells):
            place = ((SIDE + GAP) * column, LABEL + (SIDE + GAP) * line)
            block.paste(cell.resize((SIDE, SIDE), Image.Resampling.BICUBIC), place)
    return block


def _turn(row: dict[str, object], rows_: list[dict[str, object]]) -> int:
    """How many pictures of the same concepts come before it."""
    return sum(other["concepts"] == row["concepts"] and str(other["key"]) < str(row["key"]) for other in rows_)


if __name__ == "__main__":
    main()

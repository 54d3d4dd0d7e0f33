"""Draw docs/place.webp from the demo's output and two that were placed from it: the real picture, in it each concept in
the place of another one, and at free places. The region is framed; nothing is picked by hand.

python -m docs.make_place_picture out/demo out/demo-placed out/demo-added
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from docs.make_demo_picture import rows, samples
from schemas.masks import decode_mask
from stages.masks.shapes import outline

TARGET = Path(__file__).parent / "place.webp"
SIDE, GAP, LABEL, SHOWN, ROWS = 96, 6, 18, 4, 6
FRAME = (255, 255, 255)


def main() -> None:
    """The first scenes in the order of the bucket; of each the first pictures of either kind, in their order."""
    demo, *placed = (Path(name) for name in sys.argv[1:])
    scenes = samples(demo, "scenes")
    named = sorted((str(row["uri"]), str(row["scene_id"])) for row in rows(demo, "scenes") if row["status"] == "ok")
    kinds = [(samples(output, "variations"), rows(output, "variations")) for output in placed]
    shown = [scene for _, scene in named if all(_of(scene, made) for _, made in kinds)][:ROWS]
    width = (SIDE + GAP) * (1 + SHOWN * len(kinds)) - GAP
    sheet = Image.new("RGB", (width, LABEL + (SIDE + GAP) * len(shown) - GAP), "white")
    pen = ImageDraw.Draw(sheet)
    for column, title in ((0, "real"), (1, "a concept in the place of another one"), (1 + SHOWN, "at a free place")):
        pen.text(((SIDE + GAP) * column + 2, 2), title, fill=(90, 90, 90))
    for line, scene in enumerate(shown):
        cells = [scenes[scene].resize((SIDE, SIDE), Image.Resampling.BICUBIC)]
        for pictures, made in kinds:
            own = _of(scene, made)
            first = sorted(own, key=lambda row: (_repeat(row, own), row["key"]))[:SHOWN]
            cells += [_framed(pictures[str(row["key"])], row) for row in first]
        for column, cell in enumerate(cells):
            sheet.paste(cell, ((SIDE + GAP) * column, LABEL + (SIDE + GAP) * line))
    sheet.save(TARGET, quality=85, method=6)
    print(f"{TARGET}: {TARGET.stat().st_size // 1024} KB")


def _of(scene: str, made: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in made if row["scene_id"] == scene]


def _repeat(row: dict[str, Any], own: list[dict[str, Any]]) -> int:
    """How many pictures of the same concepts come before it: one of each concept is shown before a second of any."""
    return sum(other["concepts"] == row["concepts"] and other["key"] < row["key"] for other in own)


def _framed(picture: Image.Image, row: dict[str, Any]) -> Image.Image:
    large = picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    region = Image.fromarray(decode_mask(row["region"])).resize((SIDE, SIDE), Image.Resampling.NEAREST)
    pixels = np.array(large)
    pixels[outline(np.asarray(region))] = FRAME
    return Image.fromarray(pixels)


if __name__ == "__main__":
    main()

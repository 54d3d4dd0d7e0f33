"""Draw docs/demo.webp from the demo's output: scenes, their concepts, new pictures of them. Nothing is picked by hand.

python -m docs.make_demo_picture out/demo
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import webdataset
from PIL import Image, ImageDraw

from pipeline.report.thumbnails import colour_of, overlay
from schemas.masks import decode_mask

TARGET = Path(__file__).parent / "demo.webp"
SIDE, GAP, LABEL, SHOWN, ROWS = 96, 6, 18, 8, 6


def samples(output: Path, table: str) -> dict[str, Image.Image]:
    """Key -> picture, of every shard of a table."""
    shards = sorted(str(file) for file in (output / table).glob("*.tar"))
    found = webdataset.WebDataset(shards, shardshuffle=False)
    return {
        item["__key__"]: Image.open(io.BytesIO(item["png"] if "png" in item else item["jpg"])).convert("RGB")
        for item in found
    }


def rows(output: Path, table: str) -> list[dict[str, object]]:
    return [row for file in sorted((output / table).glob("*.parquet")) for row in pq.read_table(file).to_pylist()]


def main() -> None:
    """The first scenes in the order of the bucket; of each the first picture of every prompt."""
    output = Path(sys.argv[1])
    scenes, pictures = samples(output, "scenes"), samples(output, "variations")
    named = sorted((str(row["uri"]), str(row["scene_id"])) for row in rows(output, "scenes") if row["status"] == "ok")
    concepts, variations = rows(output, "concepts"), rows(output, "variations")
    sheet = Image.new("RGB", ((SIDE + GAP) * (SHOWN + 2) - GAP, LABEL + (SIDE + GAP) * ROWS - GAP), "white")
    pen = ImageDraw.Draw(sheet)
    for column, title in enumerate(("scene", "concepts", "each concept alone and all together, in new places")):
        pen.text(((SIDE + GAP) * column + 2, 2), title, fill=(90, 90, 90))
    for line, (_, scene) in enumerate(named[:ROWS]):
        masks = [(decode_mask(row["mask"]), colour_of(row["index"])) for row in concepts if row["scene_id"] == scene]
        picture = scenes[scene]
        chosen, seen = [], set()
        for row in variations:
            if row["scene_id"] == scene and row["prompt"] not in seen:
                seen.add(row["prompt"])
                chosen.append(pictures[str(row["key"])])
        shown = [picture, Image.fromarray(overlay(np.asarray(picture), masks)), *chosen[:SHOWN]]
        for column, image in enumerate(shown):
            place = ((SIDE + GAP) * column, LABEL + (SIDE + GAP) * line)
            sheet.paste(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC), place)
    sheet.save(TARGET, quality=85, method=6)
    print(f"{TARGET}: {TARGET.stat().st_size // 1024} KB")


if __name__ == "__main__":
    main()

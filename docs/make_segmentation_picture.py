"""Draw docs/segmentation.png: scenes of the demo bucket, the masks that are offered, the concepts that are chosen.

python -m docs.make_segmentation_picture             masks offered by the seedling's Segment Anything
python -m docs.make_segmentation_picture --drawn     masks drawn from the demo's true ones
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from schemas.job import Ingest, Segment
from schemas.spec_file import load_spec
from stages.ingest.decode import decode_picture
from stages.ingest.given_masks.given_mask import decode_mask_file
from stages.ingest.square import Square, fit_square, square_mask, square_picture
from stages.masks.shapes import Mask, grow, outline
from stages.segment.proposal import Proposal
from stages.segment.selection import select_concepts

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "segmentation.png"
SIDE, ZOOM, MARGIN, LABEL = 128, 2, 8, 26
COLOURS = [
    (255, 89, 94),
    (255, 202, 58),
    (138, 201, 38),
    (25, 130, 196),
    (160, 100, 240),
    (255, 146, 76),
    (54, 197, 189),
    (230, 80, 190),
]


def main() -> None:
    """Three scenes, three columns each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--drawn", action="store_true", help="offer masks drawn from the true ones")
    parser.add_argument("--scenes", nargs="+", default=["scene-00.jpg", "scene-03.jpg", "scene-09.jpg"])
    args = parser.parse_args()
    settings = load_spec(ROOT / "jobs" / "demo.yaml").segment
    rows = []
    for name in args.scenes:
        picture, square = prepared(ROOT / "demo" / "bucket" / name)
        offered = drawn(true_masks(Path(name).stem, square)) if args.drawn else by_sam(np.asarray(picture), settings)
        chosen = select_concepts(offered, settings)
        print(name, len(offered), "offered,", len(chosen.concepts), "chosen, dropped:", dict(chosen.dropped))
        rows.append(
            [
                ("picture", picture),
                (f"{len(offered)} masks offered", paint(picture, [p.mask for p in offered])),
                (f"{len(chosen.concepts)} concepts", paint(picture, [c.mask for c in chosen.concepts])),
            ]
        )
    sheet(rows).quantize(160).save(TARGET, optimize=True)


def prepared(path: Path) -> tuple[Image.Image, Square]:
    """The picture as ingest prepares it, and how."""
    image = decode_picture(path.read_bytes(), Ingest()).image
    square = fit_square(*image.size, SIDE, "crop")
    return square_picture(image, square), square


def true_masks(stem: str, square: Square) -> list[Mask]:
    """The demo's own masks of a scene, in its square."""
    files = sorted((ROOT / "demo" / "truth").glob(f"{stem}.mask*.png"))
    return [
        square_mask(mask.image, square)
        for file in files
        for mask in decode_mask_file(file.read_bytes(), file.name, 10**7)
    ]


def by_sam(picture: NDArray[np.uint8], settings: Segment) -> list[Proposal]:
    """What the seedling's Segment Anything offers."""
    from stages.models.place import bundled
    from stages.models.sam import load_sam
    from stages.segment.sam.proposer import Proposer

    return Proposer(load_sam(bundled("seedling", "models.sam"), "cpu"), settings).propose(picture)


def drawn(things: Sequence[Mask]) -> list[Proposal]:
    """What a good model offers: each thing, the thing again a pixel larger, its upper third, its left half; all things
    as one; the ground; everything."""
    offered = []
    for thing in things:
        rows, columns = np.nonzero(thing)
        upper, left = thing.copy(), thing.copy()
        upper[rows.min() + (rows.max() - rows.min()) // 3 :] = False
        left[:, (columns.min() + columns.max()) // 2 :] = False
        offered += [
            Proposal(thing, 0.97, 0.97),
            Proposal(grow(thing, 1), 0.92, 0.95),
            Proposal(upper, 0.93, 0.95),
            Proposal(left, 0.90, 0.93),
        ]
    union = np.asarray(np.logical_or.reduce(list(things)))
    half = np.zeros_like(union)
    half[SIDE // 2 :] = True
    return [*offered, Proposal(union, 0.92, 0.95), Proposal(~union & half, 0.95, 0.95), Proposal(~union, 0.95, 0.97)]


def paint(picture: Image.Image, masks: Sequence[Mask]) -> Image.Image:
    """The picture dimmed, with each mask as a tint and an outline; large ones first, so that small ones show."""
    shown = np.asarray(picture).astype(np.float32) * 0.45
    order = sorted(range(len(masks)), key=lambda i: -int(masks[i].sum()))
    for i in order:
        colour = np.array(COLOURS[i % len(COLOURS)], dtype=np.float32)
        shown[masks[i]] = 0.55 * shown[masks[i]] + 0.45 * colour
    for i in order:
        shown[outline(masks[i])] = COLOURS[i % len(COLOURS)]
    return Image.fromarray(shown.clip(0, 255).astype(np.uint8))


def sheet(rows: Sequence[Sequence[tuple[str, Image.Image]]]) -> Image.Image:
    """All panels with their labels."""
    cell = SIDE * ZOOM
    page = Image.new("RGB", (MARGIN + len(rows[0]) * (cell + MARGIN), MARGIN + len(rows) * (cell + LABEL)), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(14)
    for y, row in enumerate(rows):
        for x, (label, image) in enumerate(row):
            at = (MARGIN + x * (cell + MARGIN), MARGIN + y * (cell + LABEL))
            page.paste(image.resize((cell, cell), Image.Resampling.NEAREST), at)
            draw.text((at[0], at[1] + cell + 2), label, fill=(40, 40, 40), font=font)
    return page


if __name__ == "__main__":
    main()

"""A folder for `generate.place.given` with one of every reason why something of it is not drawn into."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

UNUSED = {
    "bare.png": "no mask beside it",
    "empty.png": "not drawn into",
    "empty.mask0.png": "empty",
    "broken.png": "not drawn into",
    "broken.mask0.png": "not drawn into",
    "notes.txt": "suffix .txt",
    "pixel.png": "not drawn into",
    "pixel.mask0.png": "too small",
    "wide.mask0.png": "outside the crop",
}
"""Name of a file -> the reason in its line of the account."""
SAID = "4 pictures with 5 masks to draw in; not drawn into: 5 files and 4 masks"


def given_rooms(folder: Path) -> Path:
    """Four pictures with five masks to draw in, among others."""
    folder.mkdir(parents=True)
    for number, (name, boxes) in enumerate(
        {
            "a": [(40, 40, 120, 120), (140, 140, 220, 220)],
            "b": [(40, 40, 120, 120)],
            "bare": [],
            "broken": [(40, 40, 120, 120)],
            "c": [(40, 40, 120, 120)],
            "empty": [(0, 0, 0, 0)],
            "pixel": [(128, 128, 129, 129)],
            "wide": [(0, 60, 90, 180), (220, 60, 300, 180)],
        }.items()
    ):
        width = 512 if name == "wide" else 256
        picture = np.full((256, width, 3), 20 * number, dtype=np.uint8)
        Image.fromarray(picture).save(folder / f"{name}.png")
        for index, (x0, y0, x1, y1) in enumerate(boxes):
            mask = np.zeros((256, width), dtype=np.uint8)
            mask[y0:y1, x0:x1] = 255
            Image.fromarray(mask).save(folder / f"{name}.mask{index}.png")
    (folder / "broken.png").write_bytes((folder / "broken.png").read_bytes()[:60])
    (folder / "notes.txt").write_text("of the rooms")
    return folder

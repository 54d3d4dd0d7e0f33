"""Pick the paper's kind of scenes from COCO: pictures of two large things or more, for `unscene evaluate`.

    python jobs/coco_scenes.py --instances annotations/instances_val2017.json --pictures val2017 --out coco50

Rules of the paper's evaluation (arXiv 2305.16311): square crop, at least two segments of "things" of 15 % of it or more
each, and none of six kinds that look alike within a picture. `--out` gets the pictures and an `instances.json` that
holds those segments and no others; `source.uri` and `source.coco` then name the two.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco

EXCLUDED = frozenset({"orange", "banana", "broccoli", "carrot", "zebra", "giraffe"})
LEAST_AREA = 0.15
"""Of the square crop."""
MOST_CONCEPTS = 4


def share_of_square(annotation: dict[str, Any], width: int, height: int) -> float:
    """Area of the annotation within the centred square, as a share of the square."""
    shape = annotation["segmentation"]
    if isinstance(shape, list):
        rle = coco.merge(coco.frPyObjects([polygon for polygon in shape if len(polygon) >= 6], height, width))
    else:
        rle = coco.frPyObjects(shape, *shape["size"]) if isinstance(shape["counts"], list) else shape
    side = min(width, height)
    top, left = (height - side) // 2, (width - side) // 2
    return float(np.mean(coco.decode(rle)[top : top + side, left : left + side]))


def candidates(tree: dict[str, Any]) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """(image, its large segments) of every image that has two to `MOST_CONCEPTS` of them, by file name."""
    names = {category["id"]: category["name"] for category in tree["categories"]}
    by_image: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for annotation in tree["annotations"]:
        if not annotation.get("iscrowd") and names[annotation["category_id"]] not in EXCLUDED:
            by_image[annotation["image_id"]].append(annotation)
    for image in sorted(tree["images"], key=lambda image: image["file_name"]):
        width, height = image["width"], image["height"]
        least = LEAST_AREA * min(width, height) ** 2
        large = [a for a in by_image[image["id"]] if a["area"] >= least]  # cheap, and never less than in the crop
        kept = [a for a in large if share_of_square(a, width, height) >= LEAST_AREA]
        if 2 <= len(kept) <= MOST_CONCEPTS:
            yield image, kept


def pick(tree: dict[str, Any], count: int, seed: int) -> dict[str, Any]:
    """The instances file of `count` candidates drawn at random. Raises SystemExit when there are fewer."""
    found = list(candidates(tree))
    if len(found) < count:
        raise SystemExit(f"--count {count}: only {len(found)} pictures have two large things or more")
    chosen = sorted(np.random.default_rng(seed).choice(len(found), count, replace=False).tolist())
    return {
        "images": [found[number][0] for number in chosen],
        "categories": tree["categories"],
        "annotations": [annotation for number in chosen for annotation in found[number][1]],
    }


def main() -> None:
    """Write the chosen pictures and their instances file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--instances", type=Path, required=True, help="COCO instances JSON")
    parser.add_argument("--pictures", type=Path, required=True, help="folder of its pictures")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    chosen = pick(json.loads(args.instances.read_text(encoding="utf-8")), args.count, args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    for image in chosen["images"]:
        shutil.copy(args.pictures / image["file_name"], args.out / image["file_name"])
    (args.out / "instances.json").write_text(json.dumps(chosen), encoding="utf-8")
    print(f"{len(chosen['images'])} pictures with {len(chosen['annotations'])} concepts in {args.out}")


if __name__ == "__main__":
    main()

"""What a judge's grid of point prompts may cost: fewer prompts against the true masks, and against the densest grid.

    python -m benchmarks.judging                                        the seedling on composed scenes, on this CPU

Scenes of one, two and three toys that no model learned. Their concepts are found as `evaluate` finds a variation's.
A row a grid; the last one has a prompt for each toy and no grid, in the cell of a 16 x 16 map where it is thickest:
the best that maps of cross-attention of that size could tell. CPU s: processor seconds a picture, on a GPU seconds.
missing: of the toys; more: concepts that are none, a toy; IoU: of the toys that are found; same: pictures in which the
concepts are the first row's, each with an IoU of 0.9 or more.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from segment_anything.modeling import Sam

from benchmarks.measure import machine, table, write_json
from models.training.masks.worlds import COUNTS
from models.training.world.roster import HELD_OUT
from models.training.world.world import ToySettings
from schemas.job import Segment
from schemas.spec_file import load_spec
from stages.evaluate.judging import MOST_OBJECTS
from stages.models.sam import load_sam
from stages.segment.sam.proposer import Proposer
from stages.segment.selection import select_concepts

ROOT = Path(__file__).parent.parent
CELLS = 16
"""Side of the map of the last row."""
FOUND, SAME = 0.5, 0.9
"""IoU from which on a concept is a toy, and is the same as another row's."""
COLUMNS = ("prompts", "CPU s", "missing", "more", "IoU", "same")

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Shown:
    """A picture uint8 [h, w, 3] and the true masks [h, w] of its toys."""

    picture: NDArray[np.uint8]
    masks: list[Mask]


@dataclass(frozen=True)
class Way:
    """side: of the grid; None: a prompt for each toy."""

    side: int | None

    def __str__(self) -> str:
        return f"{self.side} x {self.side}" if self.side else "one a toy"


def pictures(count: int, seed: int) -> list[Shown]:
    """So many of each kind."""
    found: list[Shown] = []
    for odds in COUNTS.values():
        world = ToySettings(HELD_OUT, toy_counts=odds, seed=seed).open()
        found += [Shown(scene.image, list(scene.masks)) for scene in map(world.scene, range(count))]
    return found


def spot(mask: Mask) -> tuple[float, float]:
    """x and y, 0 to 1, of the middle of the cell where a mask is thickest."""
    row, column = np.unravel_index(np.argmax(distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]), mask.shape)
    height, width = mask.shape
    return (int(column * CELLS / width) + 0.5) / CELLS, (int(row * CELLS / height) + 0.5) / CELLS


def concepts_of(sam: Sam, segment: Segment, shown: Sequence[Shown], way: Way) -> tuple[list[list[Mask]], float]:
    """Concepts of each picture, and the seconds that one took: of the processor, on a GPU of the clock."""
    found: list[list[Mask]] = []
    side = {"points_per_side": way.side} if way.side else {}
    proposer = Proposer(sam, segment.model_copy(update=side))
    clock = time.perf_counter if sam.device.type == "cuda" else time.process_time
    began = clock()
    together = 4 if way.side else 1  # prompts of their own for each picture
    for start in range(0, len(shown), together):
        part = shown[start : start + together]
        if not way.side:
            proposer.ask_at(np.array([spot(mask) for mask in part[0].masks]))
        for proposals in proposer.propose_all([one.picture for one in part]):
            if isinstance(proposals, Exception):
                raise proposals
            found.append([concept.mask for concept in select_concepts(proposals, segment).concepts])
    return found, (clock() - began) / len(shown)


def iou(one: Mask, other: Mask) -> float:
    return float((one & other).sum() / max(1, (one | other).sum()))


def compared(shown: Sequence[Shown], found: Sequence[Sequence[Mask]], first: Sequence[Sequence[Mask]]) -> list[float]:
    """missing, more, IoU, same."""
    toys = sum(len(one.masks) for one in shown)
    best = [
        max((iou(true, mask) for mask in masks), default=0.0)
        for one, masks in zip(shown, found, strict=True)
        for true in one.masks
    ]
    seen = [value for value in best if value >= FOUND]
    none = sum(
        max((iou(true, mask) for true in one.masks), default=0.0) < FOUND
        for one, masks in zip(shown, found, strict=True)
        for mask in masks
    )
    same = [
        len(masks) == len(others)
        and all(max((iou(mask, other) for other in others), default=0.0) >= SAME for mask in masks)
        for masks, others in zip(found, first, strict=True)
    ]
    return [1 - len(seen) / toys, none / toys, statistics.mean(seen) if seen else 0.0, statistics.mean(same)]


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Prints a table a kind of picture, and returns what `--out` gets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sam", default=str(ROOT / "models" / "seedling" / "sam"), help="a folder or checkpoint")
    parser.add_argument("--pictures", type=int, default=24, help="of each kind")
    parser.add_argument("--grids", type=int, nargs="+", default=[32, 18, 12, 8, 6, 4])
    parser.add_argument("--seed", type=int, default=31)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", help="JSON file")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    sam = load_sam(given.sam, device)
    segment = load_spec(ROOT / "jobs" / "demo.yaml").segment.model_copy(update={"max_concepts": MOST_OBJECTS})
    shown = pictures(given.pictures, given.seed)
    kinds = {kind: slice(i * given.pictures, (i + 1) * given.pictures) for i, kind in enumerate(COUNTS)}
    concepts_of(sam, segment, shown[:1], Way(4))  # what is slow once
    rows: dict[str, list[list[Any]]] = {kind: [] for kind in kinds}
    first: list[list[Mask]] = []
    for way in (*map(Way, given.grids), Way(None)):
        found, seconds = concepts_of(sam, segment, shown, way)
        first = first or found
        for kind, part in kinds.items():
            rows[kind].append([str(way), seconds, *compared(shown[part], found[part], first[part])])
    for kind, lines in rows.items():
        print(f"\n{kind}, pictures: {given.pictures}\n\n{table(COLUMNS, lines)}")
    result = {"benchmark": "judging", "machine": machine(torch.device(device)), "rows": rows}
    write_json(given.out, result)
    return result


if __name__ == "__main__":
    main()

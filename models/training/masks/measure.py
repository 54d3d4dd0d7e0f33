"""Measure the finished mask model: one point an object, and the concepts that the product finds by itself.

    python -m models.training.masks.measure --sam models/seedling/sam --sheet models/sheets/sam.png

Both on scenes of what is held out; also by kind, and in places without any. `--choose` prints precision and
recall under several thresholds instead, on scenes of what the model trained on, so that thresholds are chosen on other
scenes than those they are reported on.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from segment_anything.modeling import Sam

from models.training.masks.points import PointScore, point_score
from models.training.masks.prompts import EDGE_POINTS, OBJECT_POINTS, label_scenes
from models.training.masks.worlds import empty_places, known, unseen, unseen_by_kind
from models.training.world.scene import Scene
from schemas.job import Segment
from schemas.spec_file import load_spec
from stages.models.sam import load_sam
from stages.segment.proposal import Proposal
from stages.segment.sam.proposer import Proposer
from stages.segment.selection import select_concepts

SAME = 0.75
"""A concept is a true object from this IoU on."""
TOGETHER = 16
"""Scenes that go through the model side by side."""
COLOURS = ((255, 0, 60), (0, 90, 255), (0, 220, 90), (255, 220, 0))
JOB = Path(__file__).resolve().parents[3] / "jobs" / "demo.yaml"
"""The job whose segment settings the product runs the seedling with."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class ConceptScore:
    """Concepts against true objects, over scenes. Objects smaller than `segment.min_area` need not be found, but a
    concept that is one of them is right."""

    scenes: int
    concepts: int
    right: int
    """Concepts with an IoU of `SAME` or more with an object: at most one concept an object, since neither overlap."""
    objects: int
    found: int
    """Objects that some concept is."""
    proposed: int
    """Objects that some automatic mask is: what selection could have found."""
    hidden: int
    """Objects too small, or too far covered, to count."""
    seconds: float
    """Of one scene, mean."""

    @property
    def precision(self) -> float:
        return self.right / max(1, self.concepts)

    @property
    def recall(self) -> float:
        return self.found / max(1, self.objects)

    def __str__(self) -> str:
        return (
            f"precision {self.precision:.3f} ({self.right} of {self.concepts} concepts) recall {self.recall:.3f} "
            f"({self.found} of {self.objects} objects; {self.proposed} among the proposals, {self.hidden} too small) "
            f"on {self.scenes} scenes, {self.seconds * 1000:.0f} ms a scene"
        )


@dataclass(frozen=True)
class SamScore:
    """What is measured of a mask model."""

    points: PointScore
    """Points anywhere on an object: its body, a stripe, an eye, the outline, each by its area."""
    edges: PointScore
    """Points at an object's edge alone, which on a toy is its outline."""
    concepts: ConceptScore


def iou_table(masks: Iterable[Mask], others: Iterable[Mask]) -> NDArray[np.float64]:
    """IoU of each of n masks with each of m others: [n, m]."""
    one, two = ([mask.ravel() for mask in group] for group in (masks, others))
    table = [[(a & b).sum() / max(1, (a | b).sum()) for b in two] for a in one]
    return np.array(table, np.float64).reshape(len(one), len(two))


def score_scene(
    scene: Scene, concepts: list[Mask], proposals: list[Mask], min_area: float
) -> tuple[int, int, int, int, int, int]:
    """Of one scene, the counts of `ConceptScore` in its order: concepts, right, objects, found, proposed, hidden."""
    objects = list(scene.masks)
    visible = np.array([mask.mean() >= min_area for mask in objects], bool)
    same = iou_table(concepts, objects) >= SAME
    proposed = (iou_table(proposals, objects) >= SAME).any(0) & visible
    found = same.any(0) & visible
    counts = (len(concepts), same.any(1).sum(), visible.sum(), found.sum(), proposed.sum(), (~visible).sum())
    concepts_, right, objects_, found_, proposed_, hidden = (int(count) for count in counts)
    return concepts_, right, objects_, found_, proposed_, hidden


def propose(proposer: Proposer, scenes: list[Scene]) -> Iterator[list[Proposal]]:
    """Automatic masks of each scene. Raises what the model raised."""
    for start in range(0, len(scenes), TOGETHER):
        for found in proposer.propose_all([scene.image for scene in scenes[start : start + TOGETHER]]):
            if isinstance(found, Exception):
                raise found
            yield found


def concept_score(sam: Sam, scenes: list[Scene], settings: Segment, sheet: Path | None = None) -> ConceptScore:
    """The product's segmentation of scenes against their true masks; with `sheet`, a picture of the first 32."""
    counts, painted, began = np.zeros(6, int), [], time.monotonic()
    for scene, proposals in zip(scenes, propose(Proposer(sam, settings), scenes), strict=True):
        concepts = [choice.mask for choice in select_concepts(proposals, settings).concepts]
        counts += score_scene(scene, concepts, [proposal.mask for proposal in proposals], settings.min_area)
        painted.append(np.concatenate([scene.image, paint_over(scene.image, concepts)]))
    seconds = (time.monotonic() - began) / len(scenes)
    if sheet is not None:
        save_rows(painted[:32], sheet, zoom=max(1, 128 // scenes[0].image.shape[1]))
    return ConceptScore(len(scenes), *counts.tolist(), seconds)


def measure_sam(sam: Sam, settings: Segment, scenes: int = 200, seed: int = 903, sheet: Path | None = None) -> SamScore:
    """Both measures on scenes 0 to `scenes` - 1 of what is held out."""
    world = unseen(seed).open()
    return score_scenes(sam, [world.scene(i) for i in range(scenes)], settings, sheet)


def score_scenes(sam: Sam, scenes: list[Scene], settings: Segment, sheet: Path | None = None) -> SamScore:
    """Both measures on scenes, some of them with an object."""
    labelled = label_scenes(scenes, sam.device)
    points, edges = (point_score(sam, labelled, mix=mix) for mix in (OBJECT_POINTS, EDGE_POINTS))
    return SamScore(points, edges, concept_score(sam, scenes, settings, sheet))


def print_score(score: SamScore) -> None:
    """A line a measure."""
    print(f"sam, one point a toy: {score.points}", flush=True)
    print(f"sam, one point at a toy's edge: {score.edges}", flush=True)
    print(f"sam, automatic: {score.concepts}", flush=True)


def print_kinds(sam: Sam, settings: Segment, scenes: int, seed: int = 905) -> None:
    """A table of held-out toys: `scenes` of each kind, and as many places without a toy."""
    print("| held-out toys | IoU, one point | one at an outline | precision | recall |", flush=True)
    for name, kind in unseen_by_kind(seed).items():
        world = kind.open()
        score = score_scenes(sam, [world.scene(i) for i in range(scenes)], settings)
        found = score.concepts
        print(
            f"| {name} | {score.points.best:.3f} | {score.edges.best:.3f} | {found.precision:.3f} ({found.right} of "
            f"{found.concepts}) | {found.recall:.3f} ({found.found} of {found.objects}) |",
            flush=True,
        )
    places = empty_places(seed).open()
    wrong = concept_score(sam, [places.scene(i) for i in range(scenes)], settings).concepts
    print(f"concepts found in {scenes} places without a toy: {wrong}", flush=True)


def choose(sam: Sam, settings: Segment, scenes: int, seed: int = 904) -> None:
    """Print precision and recall under a grid of thresholds, on scenes of what the model trained on."""
    world = known(seed).open()
    shown = [world.scene(i) for i in range(scenes)]
    for iou, stability in itertools.product((0.5, 0.6, 0.7, 0.8), (0.4, 0.6, 0.8)):
        tried = settings.model_copy(update={"pred_iou_thresh": iou, "stability_score_thresh": stability})
        score = concept_score(sam, shown, tried)
        harmonic = 2 * score.precision * score.recall / max(1e-9, score.precision + score.recall)
        print(f"pred_iou_thresh {iou} stability_score_thresh {stability}: f1 {harmonic:.3f} {score}", flush=True)


def paint_over(image: NDArray[np.uint8], masks: list[Mask]) -> NDArray[np.uint8]:
    """The picture with each mask in a colour of its own."""
    picture = image.copy()
    for colour, mask in zip(itertools.cycle(COLOURS), masks):
        picture[mask] = (0.35 * picture[mask] + 0.65 * np.array(colour)).astype(np.uint8)
    return picture


def save_rows(pictures: list[NDArray[np.uint8]], path: Path, columns: int = 8, zoom: int = 2) -> None:
    """Write pictures of one size as rows of `columns`, each pixel `zoom` times as large; a last row is filled up with
    white."""
    blank = [np.full_like(pictures[0], 255)] * (-len(pictures) % columns)
    rows = [np.concatenate((pictures + blank)[i : i + columns], 1) for i in range(0, len(pictures), columns)]
    sheet = Image.fromarray(np.concatenate(rows))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.resize((sheet.width * zoom, sheet.height * zoom), Image.Resampling.NEAREST).save(path)


def main() -> None:
    """Print the numbers, or the table to choose thresholds from."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sam", required=True, help="folder of the model")
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--by-kind", type=int, default=60, help="scenes of each kind of toys; 0: no table of them")
    parser.add_argument("--sheet", type=Path, help="file for a picture of scenes and the concepts found in them")
    parser.add_argument("--job", type=Path, default=JOB, help="job whose `segment` settings are used")
    parser.add_argument("--choose", action="store_true", help="try thresholds on what was trained on instead")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    sam, settings = load_sam(args.sam, args.device), load_spec(args.job).segment
    if args.choose:
        choose(sam, settings, args.scenes)
        return
    print_score(measure_sam(sam, settings, args.scenes, sheet=args.sheet))
    if args.by_kind:
        print_kinds(sam, settings, args.by_kind)


if __name__ == "__main__":
    main()

"""Measure what one scene teaches a base: held-out toys through the product's stages, read fact by fact.

    python -m models.training.base.measure_personalised --base models/seedling/base --sam models/seedling/sam \\
        --reader models/seedling/reader --methods break_a_scene ti_m --sheet sheets/personalised.png
    python -m models.training.base.measure_personalised ... --set extract.phase1.steps=300 extract.phase2.lr=5e-4

A toy that the mask model missed counts as one whose facts are all wrong. Beside it stands the base's nearest known toy:
what the base draws when it is asked, in words, for the trained toy that differs least.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from models.training.base.following import Judge, places_followed
from models.training.base.measure import called, load_pipeline
from models.training.base.parts import sample
from models.training.base.personalised import KINDS, Subject, find_concepts, learn_and_draw, spec_of, subjects
from models.training.reading.alignment import aligned_iou
from models.training.reading.facts import FactShares, Reader, read_facts, right_facts
from models.training.reading.matching import TemplateReader
from models.training.reading.network import load_reader
from models.training.world.roster import TRAINED, Toy
from schemas.job import JobSpec
from schemas.overrides import apply
from stages.models.clip import load_clip
from stages.segment.segmenters import Segmenter, load_segmenter
from stages.segment.selection import select_concepts

Pictures = NDArray[np.uint8]


@dataclass
class Drawn:
    """Pictures uint8 [h, w, 3] and the toys that each was asked for; lost: pictures that were never drawn, for
    want of a mask."""

    pictures: list[Pictures] = field(default_factory=list)
    asked: list[tuple[Toy, ...]] = field(default_factory=list)
    lost: int = 0

    def add(self, picture: Pictures, toys: tuple[Toy, ...]) -> None:
        """One picture more."""
        self.pictures.append(picture)
        self.asked.append(toys)


def gather(given: Sequence[Subject], kind: str, images: int, prompts: int) -> tuple[Drawn, Drawn]:
    """Of a kind's scenes: pictures of one toy, and of both of two. Lost is whatever of `images` pictures a prompt is
    not there: of a toy that was missed, of two beside which the mask model found a third thing, of a failed scene."""
    single, both = Drawn(), Drawn()
    for subject in given:
        if subject.kind != kind:
            continue
        toys, had = len(subject.scene.objects), (len(single.pictures), len(both.pictures))
        for (concepts, _, _), picture in subject.pictures.items():
            names = tuple(toy for toy in (subject.toys[i] for i in concepts) if toy is not None)
            if len(names) == len(concepts) == 1:
                single.add(picture, names)
            elif len(names) == len(concepts) == 2:
                both.add(picture, names)
        single.lost += images * prompts * toys - (len(single.pictures) - had[0])
        if toys == 2:
            both.lost += images * prompts - (len(both.pictures) - had[1])
    return single, both


def shares(reader: Reader, drawn: Drawn) -> str:
    """Facts as they are read, and, where pictures were lost, the share of all that are right."""
    if not drawn.pictures:
        return "nothing drawn"
    found: FactShares = read_facts(reader, np.stack(drawn.pictures), drawn.asked)
    if not drawn.lost:
        return str(found)
    share = found.pictures / (found.pictures + drawn.lost)
    return f"{found}; {drawn.lost} lost, so whole {share * found.whole:.3f} of all"


def silhouette_ious(segmenter: Segmenter, spec: JobSpec, drawn: Drawn) -> list[float]:
    """For each picture of one toy: the IoU of the first concept that the product finds in it with the true silhouette,
    after alignment; 0 where it finds none."""
    ious = []
    for (toy,), proposals in zip(drawn.asked, segmenter.propose_all(drawn.pictures), strict=True):
        found = [] if isinstance(proposals, Exception) else select_concepts(proposals, spec.segment).concepts
        ious.append(aligned_iou(found[0].mask, toy.silhouette) if found else 0.0)
    return ious


def nearest_known(toy: Toy) -> Toy:
    """The trained toy that shares most facts; of several the one whose silhouette fits best, then the first."""
    return max(TRAINED, key=lambda other: (sum(right_facts(toy, other)), other.silhouette == toy.silhouette))


def draw_known(base: Path, given: Sequence[Subject], spec: JobSpec, kind: str) -> Drawn:
    """For each toy of a kind's scenes the base's picture of its nearest known toy, by words, at the first prompt."""
    pipeline, drawn = load_pipeline(base), Drawn()
    toys = [toy for s in given if s.kind == kind for toy in s.scene.objects]
    prompts = [spec.generate.prompts[0].replace("{handles}", called(nearest_known(toy))) for toy in toys]
    for start in range(0, len(toys), 32):
        part = prompts[start : start + 32]
        pictures = sample(pipeline, part, seed=5 + start, steps=spec.generate.steps, guidance=spec.generate.guidance)
        for picture, toy in zip(pictures, toys[start : start + 32], strict=True):
            drawn.add(picture, (toy,))
    return drawn


def places(judge: Judge, given: Sequence[Subject], kind: str, templates: Sequence[str]) -> str:
    """The share of a kind's pictures whose place is the one that their prompt asks for."""
    drawn = [(prompt, one) for s in given if s.kind == kind for (_, prompt, _), one in s.pictures.items()]
    if not drawn:
        return "nothing drawn"
    near, _ = places_followed(judge, np.stack([one for _, one in drawn]), templates, [prompt for prompt, _ in drawn])
    return f"{near.mean():.3f} of {len(drawn)} pictures"


def save_sheet(given: Sequence[Subject], path: Path, rows: int = 12) -> None:
    """The first scenes, a row each: the scene, then its pictures in order, eight at most; nothing picked. No sheet
    where nothing was drawn, which is said."""
    side = given[0].scene.image.shape[0]
    shown = [s for s in given if s.pictures][:rows]
    if not shown:
        print(f"  nothing drawn, so no {path.name}", flush=True)
        return
    sheet = np.full((len(shown) * side, 9 * side, 3), 255, np.uint8)
    for row, subject in enumerate(shown):
        pictures = [subject.scene.image, *itertools.islice(subject.pictures.values(), 8)]
        for column, picture in enumerate(pictures):
            sheet[row * side : (row + 1) * side, column * side : (column + 1) * side] = picture
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet).save(path)


def measure(args: argparse.Namespace, settings: dict[str, Any]) -> None:
    """Print a method's figures, kind by kind."""
    models = {"base": str(args.base), "sam": str(args.sam)}
    readers: dict[str, Reader] = {"judge": load_reader(args.reader)}
    if args.templates:
        readers["templates"] = TemplateReader()
    for method in args.methods:
        spec, began = spec_of(models, method, settings, args.images), time.monotonic()
        given = [s for kind in args.kinds for s in subjects(kind, args.singles, args.pairs, args.seed)]
        with tempfile.TemporaryDirectory() as shared:
            find_concepts(spec, given, shared)
            learn_and_draw(spec, given, shared)
        print(f"{method}: {len(given)} scenes, {time.monotonic() - began:.0f} s", flush=True)
        for kind in args.kinds:
            single, both = gather(given, kind, args.images, len(spec.generate.prompts))
            for name, reader in readers.items():
                print(f"  {kind}, one, {name}: {shares(reader, single)}")
                print(f"  {kind}, two, {name}: {shares(reader, both)}", flush=True)
            segmenter = load_segmenter(spec)
            print(f"  {kind}, silhouettes: {_spread(silhouette_ious(segmenter, spec, single))}", flush=True)
            if args.clip:
                judge = load_clip(str(args.clip))
                print(f"  {kind}, the place asked for: {places(judge, given, kind, spec.generate.prompts)}", flush=True)
            if method == args.methods[0] and args.known:
                known = draw_known(args.base, given, spec, kind)
                print(f"  {kind}, nearest known toy, judge: {shares(readers['judge'], known)}")
                print(f"  {kind}, its silhouettes: {_spread(silhouette_ious(segmenter, spec, known))}", flush=True)
        for subject in given:
            if subject.failure:
                print(f"  failed: {subject.task.scene_id}: {subject.failure}", flush=True)
        if args.sheet:
            save_sheet(given, args.sheet.with_stem(f"{args.sheet.stem}-{method}"))


def _spread(ious: Sequence[float]) -> str:
    if not ious:
        return "nothing drawn"
    low, middle, high = np.quantile(ious, (0.1, 0.5, 0.9))
    return f"IoU after alignment, median {middle:.3f} (10-90 %: {low:.3f} to {high:.3f}) of {len(ious)}"


def arguments(description: str) -> argparse.ArgumentParser:
    """What measuring and choosing share."""
    parser = argparse.ArgumentParser(description=description)
    for name in ("base", "sam", "reader"):
        parser.add_argument(f"--{name}", type=Path, required=True, help="folder of the model")
    parser.add_argument("--singles", type=int, default=8, help="scenes of one toy, of each kind")
    parser.add_argument("--pairs", type=int, default=8, help="scenes of two")
    parser.add_argument("--images", type=int, default=2, help="pictures a prompt")
    parser.add_argument("--seed", type=int, default=951, help="of the scenes")
    parser.add_argument("--kinds", nargs="+", choices=tuple(KINDS), default=list(KINDS))
    parser.add_argument("--set", nargs="*", default=[], help="settings of the spec, as `unscene run --set` takes them")
    parser.add_argument("--threads", type=int, default=2)
    return parser


def settings_of(overrides: Sequence[str]) -> dict[str, Any]:
    """Settings by section."""
    tree: dict[str, Any] = {}
    for override in overrides:
        apply(tree, override)
    return tree


def options() -> argparse.ArgumentParser:
    """What is measured."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", default=["break_a_scene"])
    parser.add_argument("--clip", type=Path, help="folder of a CLIP that reads the place of each picture")
    parser.add_argument("--known", action="store_true", help="draw the nearest known toys too")
    parser.add_argument("--templates", action="store_true", help="read by templates too: half a second a picture")
    parser.add_argument("--sheet", type=Path, help="file for a picture of scenes and what was drawn of them")
    return parser


def main() -> None:
    """Print each number as it is known."""
    args = options().parse_args()
    torch.set_num_threads(args.threads)
    measure(args, settings_of(args.set))


if __name__ == "__main__":
    main()

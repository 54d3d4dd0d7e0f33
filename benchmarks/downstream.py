"""Does training on what Unscene makes help? New toys in one, two, four real scenes, and the same with new pictures.

    python -m benchmarks.downstream --work out/downstream              # 5 seeds; the same command goes on
    python docs/make_downstream.py out/downstream                      # its table and plot into docs/

Each arm (`downstream_arms.py`) trains a Mask R-CNN and a classifier for the same number of steps and is tested on the
same fresh scenes, with true masks that nothing but the test sees. Every piece of work leaves a file in `--work` and is
not done again; seeds come one after the other, so that whole ones are there early.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import downstream_classifier as classifier
from benchmarks import downstream_detector as detector
from benchmarks.downstream_arms import ARMS, drawer, drawn_kinds
from benchmarks.downstream_augment import jittered
from benchmarks.downstream_jobs import METHODS, load, make, save
from benchmarks.downstream_page import write_page
from benchmarks.downstream_scenes import (
    COUNTS,
    Labelled,
    empty_places,
    fresh_scenes,
    judging_scenes,
    near_scenes,
    other_scenes,
    real_scenes,
    toys_of,
)
from benchmarks.downstream_scoring import groups, mask_ap
from models.training.pools import spawned
from models.training.reading.network import load_reader

READER = Path(__file__).parent.parent / "models" / "seedling" / "reader"
CLASSES = 2
KINDS = {"combinations": (1,), "silhouettes": (2,)}
"""Of the classes: new combinations of facts, and new silhouettes."""
A_SCENE = 18
"""Fresh scenes for each real one in the arm `fresh`: as many as variations are drawn."""


@dataclass(frozen=True)
class Unit:
    """A piece of work. file: what is there when it is done; needs: files that it waits for."""

    file: Path
    needs: tuple[Path, ...]
    call: Callable[..., None]
    arguments: tuple[Any, ...]


def units(work: Path, seeds: int, counts: Sequence[int], arms: Sequence[str]) -> list[Unit]:
    """All pieces of work, in the order in which they are to be done."""
    start = work / "start.pt"
    found = [Unit(start, (), begin, (work,))]
    for seed in range(seeds):
        for method in METHODS:
            found.append(Unit(_made(work, method, seed), (), draw, (work, method, seed)))
        for count in counts:
            for arm in arms:
                needs = (start, *(_made(work, method, seed) for method in METHODS if _uses(arm, method)))
                file = work / "results" / f"seed{seed}-scenes{count}-{arm}.json"
                found.append(Unit(file, needs, train, (file, work, seed, count, arm)))
    return found


def _made(work: Path, method: str, seed: int) -> Path:
    return work / "pictures" / f"{method}-{seed}.json"


def _uses(arm: str, method: str) -> bool:
    kinds = {*METHODS[method], "read"} if method == "break_a_scene" else {*METHODS[method]}
    return bool(kinds & drawn_kinds(ARMS[arm]))


def begin(work: Path) -> None:
    """The segmenter that all arms begin with."""
    with _Clock(work / "start.json"):
        detector.make_start(work / "start.pt")


def draw(work: Path, method: str, seed: int) -> None:
    """The new pictures of a seed by a method, and of the paper's those that the reader finds right."""
    file = _made(work, method, seed)
    with _Clock(file) as told:
        for kind, (pictures, left_out) in make(method, seed, COUNTS[-1], str(work / "shared")).items():
            save(work / "pictures" / f"{kind}-{seed}.npz", pictures)
            right = read_right(pictures, seed)
            told[kind] = {"left_out": dict(left_out), "right": len(right), "kept": len(pictures)}
            if kind == "variations":
                save(work / "pictures" / f"read-{seed}.npz", right)


def read_right(pictures: Sequence[Labelled], seed: int) -> list[Labelled]:
    """Those in which a reader, who knows these toys, sees just what is labelled."""
    if not pictures:
        return []
    toys = toys_of(seed)
    readings = load_reader(READER).read(np.stack([shown.image for shown in pictures]), 4)
    return [
        shown
        for shown, found in zip(pictures, readings, strict=True)
        if sorted(one.toy.name for one in found) == sorted(toys[i - 1].name for i in shown.classes)
    ]


def train(file: Path, work: Path, seed: int, count: int, arm: str) -> None:
    """One arm at one number of scenes: both models trained and tested."""
    pools = {"real": real_scenes(seed, count), "empty": empty_places(seed)}
    if arm == "fresh":
        pools["fresh"] = fresh_scenes(seed, A_SCENE * count)
    for kind in drawn_kinds(ARMS[arm]):
        held = load(work / "pictures" / f"{kind}-{seed}.npz")
        pools[kind] = [shown for shown in held if shown.scene < count]
    with _Clock(file) as told:
        shown, tests = drawer(ARMS[arm], pools), judging_scenes(seed)
        model = detector.for_classes(torch.load(work / "start.pt", weights_only=True), CLASSES, seed)
        losses = detector.train(model, shown, detector.STEPS, detector.BATCH, detector.RATE, seed)
        among = groups(tests, (scene.place for scene in pools["real"]))
        answers = list(detector.predict(model, tests))
        told["ap"] = mask_ap(tests, answers, CLASSES, among, KINDS)
        told["loss"] = float(np.mean(losses[-10:]))
        told["told_apart"] = _told_apart(shown, seed, ARMS[arm].jitter, tests, among)
        told["pictures"] = {kind: len(pool) for kind, pool in pools.items()}
        told |= {"seed": seed, "scenes": count, "arm": arm}


def _told_apart(
    shown: Callable[[np.random.Generator], Labelled],
    seed: int,
    jitter: bool,
    tests: Sequence[Labelled],
    among: Mapping[str, Sequence[int]],
) -> dict[str, float]:
    """Average precision of the classifier, the mean over the two toys: among all test things and near toys, and among
    those in groups of places; and of each toy."""
    others = other_scenes(seed)

    def beside(dice: np.random.Generator) -> Labelled:
        other = others[int(dice.integers(len(others)))]
        return jittered(other, dice) if jitter else other

    near = near_scenes(seed)
    pictures, places = [*tests, *near], {name: {tests[i].place for i in of} for name, of in among.items()}
    chances = classifier.scores(classifier.train(shown, beside, CLASSES + 1, seed), pictures)
    every = range(len(pictures))
    found = {
        name: classifier.average_precisions(pictures, chances, [i for i in every if pictures[i].place in of])
        for name, of in places.items()
        if of
    }
    told = {name: of[0] for name, of in found.items()}
    return told | {kind: found["all"][of[0]] for kind, of in KINDS.items()}


class _Clock:
    """What is told within it, with the seconds that it took, into a JSON file once it ended well."""

    def __init__(self, file: Path) -> None:
        self.file, self.told = file, dict[str, Any]()

    def __enter__(self) -> dict[str, Any]:
        self.wall, self.cpu = time.monotonic(), time.process_time()
        return self.told

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            taken = {"wall_s": time.monotonic() - self.wall, "cpu_s": time.process_time() - self.cpu}
            part = self.file.with_suffix(".part")
            part.write_text(json.dumps(self.told | taken) + "\n", encoding="utf-8")
            part.replace(self.file)


def work_off(waiting: list[Unit], processes: int) -> None:
    """Does all that is not there yet. Raises what a unit raised, once the others that had begun are done."""
    waiting = [unit for unit in waiting if not unit.file.exists()]
    running: dict[Future[None], Unit] = {}
    with spawned(processes, torch.set_num_threads, (1,)) as pool:
        while waiting or running:
            for unit in list(waiting):
                if len(running) < processes and all(need.exists() for need in unit.needs):
                    waiting.remove(unit)
                    running[pool.submit(unit.call, *unit.arguments)] = unit
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                unit = running.pop(future)
                future.result()
                print(f"{time.strftime('%H:%M:%S')}  {unit.file.stem}, {len(waiting) + len(running)} to go", flush=True)


def main() -> None:
    """Do what is not done, and write table and plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for what is made; the same one goes on")
    parser.add_argument("--seeds", type=int, default=5, help="each with toys, scenes, draws and a test of its own")
    parser.add_argument("--scenes", default=",".join(map(str, COUNTS)), help="numbers of real scenes")
    parser.add_argument("--arms", default=",".join(ARMS), help=f"some of {', '.join(ARMS)}")
    parser.add_argument("--processes", type=int, default=2, help="of one thread each")
    args = parser.parse_args()
    arms, counts = args.arms.split(","), [int(part) for part in args.scenes.split(",")]
    if unknown := [arm for arm in arms if arm not in ARMS]:
        parser.error(f"--arms: there is no arm {', '.join(unknown)}; name some of {', '.join(ARMS)}")
    if not all(1 <= count <= COUNTS[-1] for count in counts):
        parser.error(f"--scenes {args.scenes}: there are 1 to {COUNTS[-1]} real scenes")
    for folder in ("pictures", "results", "shared"):
        (args.work / folder).mkdir(parents=True, exist_ok=True)
    work_off(units(args.work, args.seeds, counts, arms), args.processes)
    print(write_page(args.work))


if __name__ == "__main__":
    main()

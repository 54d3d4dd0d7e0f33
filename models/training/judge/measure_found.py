"""Measure from which cosine on a mask counts as a concept: `evaluate.found_at: auto` against numbers, on composed toys.

    python -m models.training.judge.measure_found --clip models/seedling/clip --vae models/seedling/base/vae

Each toy of a scene is looked for among the toys of all other scenes, as the autoencoder gives them back: a generated
picture can be no sharper. Every auto line is of a judge whose cosines lie elsewhere too, which must come to the same.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.training.judge.measure import blurred, facts_of
from models.training.judge.scenes import VISIBLE_PIXELS, judged_world
from models.training.world.scene import Scene
from stages.evaluate.reference import threshold
from stages.masks.views import on_black
from stages.models.clip import load_clip
from stages.models.identity import ClipIdentityJudge, IdentityJudge

NUMBERS = (0.6, 0.7, 0.8, 0.9)
SHIFT = 0.5
"""How much of every feature the judge whose cosines lie elsewhere gives all pictures alike: c becomes 0.5 + 0.5 c."""
KINDS = ("the same toy", "other silhouette", "other colour", "other pattern", "two facts or more")


class Shifted:
    """A judge that says `SHIFT` + (1 - `SHIFT`) times the cosine that another says."""

    def __init__(self, judge: IdentityJudge) -> None:
        self._judge = judge

    def features(self, pictures: np.ndarray) -> Tensor:
        """See `IdentityJudge`."""
        own = self._judge.features(pictures)
        return torch.cat([own * (1 - SHIFT) ** 0.5, torch.full((len(own), 1), SHIFT**0.5)], 1)


def compared(judge: IdentityJudge, scenes: Sequence[Scene], drawn: Sequence[Scene]) -> tuple[Tensor, Tensor, Tensor]:
    """Cosines [n, n] of the toys of scenes with those of `drawn`, the same scenes as a model would draw them; what the
    two differ in, a place in `KINDS`, or -1 where they are of one scene, [n, n]; the thresholds of the scenes, [n]."""
    ours, theirs, facts, numbers, at = [], [], [], [], []
    for number, (scene, other) in enumerate(zip(scenes, drawn, strict=True)):
        seen = [place for place, mask in enumerate(scene.masks) if mask.sum() >= VISIBLE_PIXELS]
        if not seen:
            continue
        masks = [scene.masks[place] for place in seen]
        features = judge.features(np.stack([on_black(scene.image, mask) for mask in masks]))
        at += [threshold(scene.image, masks, features.numpy(), judge)] * len(seen)
        ours.append(features)
        theirs.append(judge.features(np.stack([on_black(other.image, mask) for mask in masks])))
        facts += [facts_of(scene)[place] for place in seen]
        numbers += [number] * len(seen)
    known, of = torch.tensor(facts), torch.tensor(numbers)
    differs = known[:, None] != known[None]
    kind = torch.where(differs.sum(2) == 1, 1 + differs.int().argmax(2), torch.where(differs.any(2), 4, 0))
    return torch.cat(ours) @ torch.cat(theirs).T, torch.where(of[:, None] == of[None], -1, kind), torch.tensor(at)


def main() -> None:
    """Print a line a threshold: what counts as the concept, of each kind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clip", required=True, help="folder of the model")
    parser.add_argument("--vae", type=Path, required=True, help="folder of the autoencoder")
    parser.add_argument("--scenes", type=int, default=160)
    args = parser.parse_args()
    world = replace(judged_world(917), toy_counts=(0, 0.45, 0.35, 0.2)).open()
    scenes = [world.scene(number) for number in range(args.scenes)]
    drawn, judge = blurred(scenes, args.vae), ClipIdentityJudge(load_clip(args.clip))
    cosines, kind, at = compared(judge, scenes, drawn)
    lines = {f"{number:g}": torch.full_like(at, number) for number in NUMBERS} | {"auto": at}
    elsewhere = compared(Shifted(judge), scenes, drawn)
    for name, line in lines.items():
        _print(name, cosines, kind, line)
    _print("auto, elsewhere", *elsewhere)


def _print(name: str, cosines: Tensor, kind: Tensor, at: Tensor) -> None:
    counts = cosines >= at[:, None]
    shares = ", ".join(f"{what} {counts[kind == place].float().mean():.3f}" for place, what in enumerate(KINDS))
    print(f"{name} ({at.mean():.3f}, from {at.min():.3f} to {at.max():.3f}): {shares}", flush=True)


if __name__ == "__main__":
    main()

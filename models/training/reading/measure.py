"""Measure the reader that has learned nothing: how often it reads a toy's three facts, on composed scenes.

    python -m models.training.reading.measure --vae out/toys/vae/final

On scenes of all toys, held-out ones too, each as it is composed and, with `--vae`, through that autoencoder. About a
quarter of a second a picture and toy.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray

from models.training.base.measure import through
from models.training.reading.matching import DRAWN, Fit, read_toys
from models.training.world.roster import HELD_OUT, TRAINED, Toy
from models.training.world.scene import Scene
from models.training.world.world import ToySettings

SEED = 915
"""Of the scenes that are measured; `DRAWN` and the rest were chosen on others."""

SCENES = (50, 150, 100)
"""Of no toy, one and two, where no other numbers are given."""

Pictures = NDArray[np.uint8]
"""[n, h, w, 3]."""


@dataclass(frozen=True)
class Reading:
    """Shares of toys whose fact was read, and of scenes."""

    silhouette: float
    colour: float
    pattern: float
    toy: float
    """All three facts."""
    scene: float
    """Of scenes: all facts of all toys."""
    drawn: float
    """Toys whose reading scored `DRAWN` or more."""
    seconds: float
    """Of one picture, mean, of a processor's time."""

    def __str__(self) -> str:
        return (
            f"silhouette {self.silhouette:.3f} colour {self.colour:.3f} pattern {self.pattern:.3f} all three "
            f"{self.toy:.3f}; whole scenes {self.scene:.3f}; score >= {DRAWN}: {self.drawn:.3f}; {self.seconds:.2f} s"
        )


def paired(toys: tuple[Toy, ...], fits: list[Fit]) -> list[tuple[Toy, Fit | None]]:
    """Each toy with the reading that is taken for it: first those of its silhouette, then what is left, best first."""
    left = list(fits)
    pairs: list[tuple[Toy, Fit | None]] = []
    for toy in toys:
        own = next((fit for fit in left if fit.silhouette == toy.silhouette), None)
        pairs.append((toy, own))
        if own is not None:
            left.remove(own)
    return [(toy, fit or (left.pop(0) if left else None)) for toy, fit in pairs]


def measure_matching(scenes: list[Scene], pictures: Pictures) -> Reading:
    """Of scenes of as many toys each, at least one, as `pictures` show them."""
    rows, began = [], time.process_time()
    for scene, picture in zip(scenes, pictures, strict=True):
        for toy, fit in paired(scene.objects, read_toys(picture, len(scene.objects))):
            words = fit.words if fit else (None, None, None)
            right = [a == b for a, b in zip(words, (toy.silhouette, toy.colour, toy.pattern), strict=True)]
            rows.append([*right, all(right), fit is not None and fit.score >= DRAWN])
    seconds = (time.process_time() - began) / len(scenes)
    table = np.array(rows, float)
    whole = table[:, 3].reshape(len(scenes), -1).all(1).mean()
    silhouette, colour, pattern, toy_, drawn = table.mean(0).tolist()
    return Reading(silhouette, colour, pattern, toy_, float(whole), drawn, seconds)


def mistaken(pictures: Pictures) -> float:
    """The share of pictures without a toy in which one is read."""
    return float(np.mean([read_toys(picture)[0].score >= DRAWN for picture in pictures]))


def print_readings(vae: AutoencoderKL | None, counts: Sequence[int]) -> None:
    """A line for each kind of so many scenes of no toy, one, two...: composed, and, with `vae`, through it."""
    for toys, count in enumerate(counts):
        if not count:
            continue
        world = ToySettings(roster=TRAINED + HELD_OUT, toy_counts=(0,) * toys + (1,), seed=SEED).open()
        scenes = [world.scene(index) for index in range(count)]
        composed = np.stack([scene.image for scene in scenes])
        kinds = {"composed": composed} | ({} if vae is None else {"autoencoded": through(vae, composed)})
        for kind, pictures in kinds.items():
            if toys:
                print(f"{count} of {toys}, {kind}: {measure_matching(scenes, pictures)}", flush=True)
            else:
                print(f"{count} of none, {kind}: a toy read in {mistaken(pictures):.3f}", flush=True)


def main() -> None:
    """Print the numbers."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--vae", type=Path, help="folder of the autoencoder; without it, composed scenes alone")
    parser.add_argument("--scenes", type=int, nargs=3, default=SCENES, help="of no toy, one and two")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    vae = AutoencoderKL.from_pretrained(args.vae, torch_dtype=torch.float32).eval() if args.vae else None
    print_readings(vae, args.scenes)


if __name__ == "__main__":
    main()

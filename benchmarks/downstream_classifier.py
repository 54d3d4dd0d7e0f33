"""The classifier of `benchmarks.downstream`: which of two toys a crop shows, or another; three convolutions.

It is trained from nothing. What else there is are known toys, the same ones in every arm. It is tested on toys that
share two of three facts with one of the two as well, none of which it has seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.downstream_scenes import OTHER, Labelled

SIDE = 48
"""Of a crop, pixels."""
MARGIN = 0.15
"""Of a thing's box that is seen around it, on each side."""
STEPS, RATE = 150, 2e-3
THINGS, THINGS_BESIDE = 8, 6
"""Crops a step, at least: of the two toys, and of others."""
Draw = Callable[[np.random.Generator], Labelled]


def build(classes: int) -> nn.Module:
    """76,000 parameters."""

    def layer(inside: int, outside: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(inside, outside, 3, 2, 1, bias=False), nn.GroupNorm(8, outside), nn.ReLU(inplace=True)
        )

    return nn.Sequential(
        layer(3, 24), layer(24, 48), layer(48, 64), nn.Flatten(), nn.Dropout(0.2), nn.Linear(64 * 36, classes)
    )


def crops(shown: Labelled) -> tuple[list[NDArray[np.uint8]], list[int]]:
    """Each thing's box with a margin, [SIDE, SIDE, 3], and its class from 0."""
    found = []
    height, width = shown.image.shape[:2]
    for mask in shown.masks:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        middle_y, middle_x = (rows[0] + rows[-1] + 1) / 2, (columns[0] + columns[-1] + 1) / 2
        half = max(len(rows), len(columns)) * (0.5 + MARGIN)
        box = (
            max(0, middle_x - half),
            max(0, middle_y - half),
            min(width, middle_x + half),
            min(height, middle_y + half),
        )
        picture = Image.fromarray(shown.image).resize((SIDE, SIDE), Image.Resampling.BILINEAR, box)
        found.append(np.asarray(picture))
    return found, [number - 1 for number in shown.classes]


def train(draw: Draw, others: Draw, classes: int, seed: int, steps: int = STEPS) -> nn.Module:
    """A classifier trained on the crops of what is drawn, and of what else there is."""
    torch.manual_seed(seed)
    model, dice = build(classes), np.random.default_rng((seed, 82))
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=1e-2)
    model.train()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * 0.5 * (1 + math.cos(math.pi * step / steps))
        pictures: list[NDArray[np.uint8]] = []
        labels: list[int] = []
        for source, enough in ((draw, THINGS), (others, THINGS + THINGS_BESIDE)):
            while len(labels) < enough:
                found, of = crops(source(dice))
                pictures += found
                labels += of
        loss = functional.cross_entropy(model(_batch(pictures)), torch.tensor(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


@torch.no_grad()
def scores(model: nn.Module, pictures: Sequence[Labelled]) -> list[NDArray[np.float32]]:
    """For each picture the chances [things, classes] of its things."""
    model.eval()
    return [model(_batch(crops(shown)[0])).softmax(1).numpy() for shown in pictures]


def average_precisions(
    pictures: Sequence[Labelled], chances: Sequence[NDArray[np.float32]], among: Sequence[int]
) -> dict[int, float]:
    """Class -> average precision of its things among all things of some of the pictures, by their chance of it; without
    `OTHER`; 0: the mean. A class without a thing is left out."""
    labels = np.array([class_ for number in among for class_ in pictures[number].classes])
    table = np.concatenate([chances[number] for number in among])
    found = {}
    for class_ in sorted({*labels.tolist()} - {OTHER}):
        hits = (labels == class_)[np.argsort(-table[:, class_ - 1], kind="stable")]
        found[class_] = float((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())
    return found | {0: float(np.mean(list(found.values()))) if found else float("nan")}


def _batch(pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
    return (torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.25

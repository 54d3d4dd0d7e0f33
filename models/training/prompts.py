"""Prompts to train the mask model with: points and boxes drawn from a scene's exact masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.training.world import Scene

MIN_PIXELS = 12
"""An object with fewer visible pixels is not asked for."""


@dataclass(frozen=True)
class Prompts:
    """P prompts over a batch of scenes. scene: int64 [P], the scene each asks about; points: float [P, 2, 2], x and y
    in pixels; labels: int64 [P, 2] in segment-anything's code (1 point, -1 padding, 2 and 3 box corners);
    masks: float [P, h, w], the right answers."""

    scene: Tensor
    points: Tensor
    labels: Tensor
    masks: Tensor


def _point_in(mask: NDArray[np.bool_], rng: np.random.Generator) -> tuple[list[list[float]], list[int]]:
    rows, columns = np.nonzero(mask)
    pick = rng.integers(len(rows))
    return [[float(columns[pick]), float(rows[pick])], [0.0, 0.0]], [1, -1]


def _box_around(mask: NDArray[np.bool_], rng: np.random.Generator) -> tuple[list[list[float]], list[int]]:
    rows, columns = np.nonzero(mask)
    box = np.array([[columns.min(), rows.min()], [columns.max(), rows.max()]], float)
    noise = rng.uniform(-0.08, 0.08, (2, 2)) * (box[1] - box[0])
    return np.clip(box + noise, 0, np.array(mask.shape[::-1]) - 1).tolist(), [2, 3]


def draw_prompts(scenes: list[Scene], per_scene: int, rng: np.random.Generator) -> Prompts:
    """`per_scene` prompts a scene: three in four a random visible point of an object, or its jittered box (a quarter of
    those); the rest a point of the ground, whose right answer is the whole ground."""
    owners, points, labels, masks = [], [], [], []
    for number, scene in enumerate(scenes):
        ground = ~scene.masks.any(0) if len(scene.masks) else np.ones(scene.image.shape[:2], bool)
        visible = [mask for mask in scene.masks if mask.sum() >= MIN_PIXELS]
        for _ in range(per_scene):
            on_object = bool(visible) and rng.random() < 0.75
            mask = visible[rng.integers(len(visible))] if on_object else ground
            point, label = _box_around(mask, rng) if on_object and rng.random() < 0.25 else _point_in(mask, rng)
            owners.append(number)
            points.append(point)
            labels.append(label)
            masks.append(mask)
    return Prompts(
        torch.tensor(owners), torch.tensor(points), torch.tensor(labels), torch.from_numpy(np.stack(masks)).float()
    )

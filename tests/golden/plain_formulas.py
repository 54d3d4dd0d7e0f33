"""Break-A-Scene's formulas as Python loops over float64 numbers, from the paper and the published script's settings.

Slow on purpose: one scene, one number at a time, nothing shared with the engine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import permutations

import torch
from torch import Tensor

Plane = list[list[float]]
"""Rows of numbers: a mask or a map."""


def subset_probabilities(concepts: int) -> dict[tuple[int, ...], float]:
    """Every ordered subset: k is one of 1..N with 1/N, then each of the N!/(N-k)! ordered choices is as likely."""
    return {
        order: math.factorial(concepts - k) / math.factorial(concepts) / concepts
        for k in range(1, concepts + 1)
        for order in permutations(range(concepts), k)
    }


def chi_square_tail(observed: Sequence[int], expected: Sequence[float]) -> float:
    """Probability that a fair draw is at least so far off: the upper tail of chi-square with n - 1 degrees."""
    statistic = sum((o - e) ** 2 / e for o, e in zip(observed, expected, strict=True))
    half = torch.tensor([(len(observed) - 1) / 2, statistic / 2], dtype=torch.float64)
    return float(torch.special.gammaincc(half[0], half[1]))


def nearest(plane: Plane, side: int) -> Plane:
    """Nearest neighbour as in torch and OpenCV: element i comes from floor(i * size / side)."""
    high, wide = len(plane), len(plane[0])
    return [[plane[y * high // side][x * wide // side] for x in range(side)] for y in range(side)]


def mirrored(plane: Plane) -> Plane:
    return [row[::-1] for row in plane]


def union(planes: Sequence[Plane]) -> Plane:
    """Pixel-wise maximum."""
    return [[max(plane[y][x] for plane in planes) for x in range(len(planes[0][0]))] for y in range(len(planes[0]))]


def masked_loss(prediction: Tensor, target: Tensor, mask: Plane, kind: str) -> float:
    """[C, h, w] twice. Both sides times the mask, mean square over all elements; `area_balanced`: over the mask's
    mean.
    """
    guess, truth = prediction.tolist(), target.tolist()
    total, count, area, places = 0.0, 0, 0.0, 0
    for y, row in enumerate(mask):
        for x, covered in enumerate(row):
            weight = 1.0 if kind == "none" else covered
            area, places = area + weight, places + 1
            for one, two in zip(guess, truth, strict=True):
                total, count = total + (weight * one[y][x] - weight * two[y][x]) ** 2, count + 1
    mean = total / count
    return mean / (area / places) if kind == "area_balanced" else mean


def mean_square(prediction: Tensor, target: Tensor) -> float:
    pairs = list(zip(prediction.flatten().tolist(), target.flatten().tolist(), strict=True))
    return sum((a - b) ** 2 for a, b in pairs) / len(pairs)


def attention_map(layers: Sequence[tuple[Tensor, Tensor]], column: int) -> list[float]:
    """layers: queries [heads, n, f] and keys [heads, T, f] of one picture. For each of the n places the probability of
    token `column`: softmax over the tokens of q.k / sqrt(f), averaged over all heads of all layers.
    """
    total, count = [0.0] * layers[0][0].shape[1], 0
    for queries, keys in layers:
        for places, tokens in zip(queries.tolist(), keys.tolist(), strict=True):
            count += 1
            for i, place in enumerate(places):
                scores = [
                    sum(a * b for a, b in zip(place, token, strict=True)) / math.sqrt(len(place)) for token in tokens
                ]
                shares = [math.exp(score) for score in scores]
                total[i] += shares[column] / sum(shares)
    return [value / count for value in total]


def attention_loss(maps: Sequence[Sequence[float]], masks: Sequence[Plane]) -> float:
    """Each map over its own maximum, mean square against its mask, summed over the handles."""
    total = 0.0
    for values, mask in zip(maps, masks, strict=True):
        truth, peak = [m for row in mask for m in row], max(values)
        total += sum((v / peak - m) ** 2 for v, m in zip(values, truth, strict=True)) / len(truth)
    return total


class PlainAdamW:
    """Decoupled weight decay (Loshchilov and Hutter) on a list of numbers, after a clip of the gradient's norm."""

    def __init__(
        self, values: Sequence[float], lr: float, beta1: float, beta2: float, eps: float, decay: float, clip: float
    ) -> None:
        self.values = list(values)
        self.lr, self.beta1, self.beta2, self.eps, self.decay, self.clip = lr, beta1, beta2, eps, decay, clip
        self.first, self.second, self.steps = [0.0] * len(self.values), [0.0] * len(self.values), 0

    def step(self, gradient: Sequence[float]) -> None:
        norm = math.sqrt(sum(g * g for g in gradient))
        factor = min(1.0, self.clip / (norm + 1e-6))
        self.steps += 1
        for i, raw in enumerate(gradient):
            g = raw * factor
            self.first[i] = self.beta1 * self.first[i] + (1 - self.beta1) * g
            self.second[i] = self.beta2 * self.second[i] + (1 - self.beta2) * g * g
            mean = self.first[i] / (1 - self.beta1**self.steps)
            spread = math.sqrt(self.second[i] / (1 - self.beta2**self.steps))
            self.values[i] -= self.lr * self.decay * self.values[i] + self.lr * mean / (spread + self.eps)

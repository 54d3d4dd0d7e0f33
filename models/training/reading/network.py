"""A judge of facts: a small network that finds every toy in a picture and reads silhouette, colour and pattern apart.

It is a measuring instrument, never part of what draws: it knows the held-out toys too, and its own accuracy on composed
scenes is written beside every figure that rests on it. Toys are found as peaks of a map of their middles (Zhou et al.
2019, Objects as Points); what a toy is, is read where its peak lies.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from models.training.world.palette import COLOURS
from models.training.world.patterns import PATTERNS
from models.training.world.roster import Toy
from models.training.world.silhouettes import SILHOUETTES

FACTS = (len(SILHOUETTES), len(COLOURS), len(PATTERNS))
"""How many silhouettes, colours and patterns there are; read in this order everywhere."""
CELL = 8
"""Pixels a side of one cell of the maps."""
FOUND = 0.35
"""From this height on a peak is a toy."""
_NEAR = 5
"""A peak is the highest of so many cells a side around it: two toys of the world are further apart."""
_BATCH = 64


@dataclass(frozen=True)
class Reading:
    """One toy as it is read. score: of its being there, 0..1; sure: the probability of each fact, as `FACTS` orders
    them; x, y: its middle, pixels."""

    toy: Toy
    score: float
    sure: tuple[float, float, float]
    x: float
    y: float


class Residual(nn.Module):
    """Two convolutions that change what passes."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.change = nn.Sequential(
            nn.GroupNorm(8, channels), nn.SiLU(), nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(8, channels), nn.SiLU(), nn.Conv2d(channels, channels, 3, padding=1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """[b, channels, h, w] to the same."""
        return x + self.change(x)


class FactReader(nn.Module):
    """Pictures [b, 3, h, w] in 0..1 to maps [b, 1 + 20 + 9 + 5, h / 8, w / 8] of logits: is a toy's middle here, and
    which silhouette, colour and pattern has it. Sides are multiples of 16 pixels."""

    def __init__(self, channels: tuple[int, int, int, int] = (24, 48, 96, 160)) -> None:
        super().__init__()
        self.channels = channels
        half, quarter, cell, wide = channels
        self.fine = nn.Sequential(
            nn.Conv2d(3, half, 3, 2, 1), nn.SiLU(), nn.Conv2d(half, quarter, 3, 2, 1), Residual(quarter),
            nn.Conv2d(quarter, cell, 3, 2, 1), Residual(cell), Residual(cell),
        )  # fmt: skip
        self.coarse = nn.Sequential(nn.Conv2d(cell, wide, 3, 2, 1), Residual(wide), Residual(wide), Residual(wide))
        self.joined = nn.Sequential(nn.Conv2d(cell + wide, wide, 1), Residual(wide), nn.GroupNorm(8, wide), nn.SiLU())
        self.heads = nn.Conv2d(wide, 1 + sum(FACTS), 1)
        nn.init.constant_(self.heads.bias[:1], -4.0)  # a middle is a rare thing

    def forward(self, pictures: Tensor) -> Tensor:
        """See the class."""
        fine = self.fine(2 * pictures - 1)
        coarse = functional.interpolate(self.coarse(fine), size=fine.shape[-2:], mode="bilinear")
        return self.heads(self.joined(torch.cat([fine, coarse], 1)))

    @torch.no_grad()
    def read(self, pictures: NDArray[np.uint8], most: int = 3, found: float = FOUND) -> list[list[Reading]]:
        """The toys of each picture uint8 [n, h, w, 3], at most `most`, the surest first."""
        device = next(self.parameters()).device
        readings: list[list[Reading]] = []
        for first in range(0, len(pictures), _BATCH):
            batch = torch.from_numpy(pictures[first : first + _BATCH].copy()).to(device)
            maps = self(batch.permute(0, 3, 1, 2).float() / 255).float()
            middles, *facts = maps.split([1, *FACTS], 1)
            heat = middles.sigmoid()
            heat = heat * (heat == functional.max_pool2d(heat, _NEAR, 1, _NEAR // 2))
            scores, places = heat.flatten(1).topk(most)
            sure = [fact.softmax(1).flatten(2).max(1) for fact in facts]  # values and numbers [b, cells]
            for picture in range(len(batch)):
                readings.append(
                    [
                        self._reading(sure, picture, int(place), float(score), maps.shape[-1])
                        for score, place in zip(scores[picture], places[picture], strict=True)
                        if score >= found
                    ]
                )
        return readings

    @staticmethod
    def _reading(sure: Sequence[tuple[Tensor, Tensor]], picture: int, place: int, score: float, width: int) -> Reading:
        shape, colour, pattern = (int(numbers[picture, place]) for _, numbers in sure)
        chances = [float(values[picture, place]) for values, _ in sure]
        return Reading(
            toy_of((shape, colour, pattern)),
            score,
            (chances[0], chances[1], chances[2]),
            (place % width + 0.5) * CELL,
            (place // width + 0.5) * CELL,
        )


def numbers_of(toy: Toy) -> tuple[int, int, int]:
    """A toy's facts as numbers: of its silhouette, its colour and its pattern."""
    return SILHOUETTES.index(toy.silhouette), COLOURS.index(toy.colour), list(PATTERNS).index(toy.pattern)


def toy_of(numbers: tuple[int, int, int]) -> Toy:
    """The toy of three numbers, as `numbers_of` gives them."""
    return Toy(SILHOUETTES[numbers[0]], COLOURS[numbers[1]], list(PATTERNS)[numbers[2]])


def save_reader(reader: FactReader, folder: Path) -> None:
    """Weights, fp16, and configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: v.half().cpu().contiguous() for k, v in reader.state_dict().items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"channels": reader.channels}) + "\n", encoding="utf-8")


def load_reader(folder: Path, device: str = "cpu") -> FactReader:
    """The reader that `save_reader` wrote, float32, ready to read. Raises OSError where there is none."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    reader = FactReader(tuple(config["channels"]))
    reader.load_state_dict({k: v.float() for k, v in load_file(folder / "model.safetensors").items()})
    return reader.to(device).eval()

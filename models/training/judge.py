"""A small classifier of the world's scenes, trained on composed ones, that says what a generated picture shows.

It is a measuring instrument and no part of the seedling: its own accuracy on fresh composed scenes is reported with
every number it gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.training.backgrounds import BACKGROUNDS
from models.training.sprites import SpriteName
from models.training.vae import to_tensor
from models.training.world import Scene, World


@dataclass(frozen=True)
class Verdict:
    """Per picture, int64 [n]: the background's index, the likeliest noun's and the likeliest colour's."""

    background: Tensor
    noun: Tensor
    colour: Tensor


class Judge(nn.Module):
    """Four convolutions over pictures of half the size; objects by the strongest place, background by the mean."""

    def __init__(self, roster: tuple[SpriteName, ...]) -> None:
        super().__init__()
        self.roster = roster
        self.colours = sorted({sprite.colour for sprite in roster})
        widths = (3, 32, 64, 96, 128)
        layers: list[nn.Module] = []
        for number, (narrow, wide) in enumerate(pairwise(widths)):
            stride = 2 if number in (1, 2) else 1
            layers += [nn.Conv2d(narrow, wide, 3, stride, 1), nn.GroupNorm(8, wide), nn.ReLU()]
        self.trunk = nn.Sequential(*layers)
        self.objects = nn.Conv2d(widths[-1], len(roster) + len(self.colours), 1)
        self.places = nn.Linear(widths[-1], len(BACKGROUNDS))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """images: float [b, 3, 64, 64] in -1..1; logits of objects then colours [b, n + c], and of places [b, 8]."""
        features = self.trunk(functional.avg_pool2d(images, 2))
        return self.objects(features).amax((2, 3)), self.places(features.mean((2, 3)))

    def targets(self, scenes: list[Scene]) -> tuple[Tensor, Tensor]:
        """What `forward` should say: presence 0 or 1 [b, n + c], and background indices [b]."""
        present = torch.zeros(len(scenes), len(self.roster) + len(self.colours))
        for row, scene in enumerate(scenes):
            for sprite in scene.objects:
                present[row, self.roster.index(sprite)] = 1
                present[row, len(self.roster) + self.colours.index(sprite.colour)] = 1
        return present, torch.tensor([scene.background for scene in scenes])

    @torch.no_grad()
    def verdict(self, images: np.ndarray) -> Verdict:
        """The likeliest reading of pictures uint8 [n, 64, 64, 3]."""
        objects, places = self(to_tensor(list(images)))
        nouns, colours = objects.split((len(self.roster), len(self.colours)), 1)
        return Verdict(places.argmax(1), nouns.argmax(1), colours.argmax(1))


@torch.enable_grad()
def train_judge(world: World, scenes: int = 12_000, epochs: int = 6, batch: int = 64) -> Judge:
    """A judge of `world`'s roster, trained on its first `scenes` scenes; seeded by the world's seed."""
    torch.manual_seed(world.settings.seed)
    judge = Judge(world.settings.roster)
    composed = [world.scene(index) for index in range(scenes)]
    images = torch.stack([torch.from_numpy(scene.image) for scene in composed])
    present, backgrounds = judge.targets(composed)
    optimizer = torch.optim.AdamW(judge.parameters(), lr=2e-3)
    steps = epochs * (scenes // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for step in range(steps):
        if step % (scenes // batch) == 0:
            order = torch.randperm(scenes)
        rows = order[(step % (scenes // batch)) * batch :][:batch]
        pictures = images[rows].permute(0, 3, 1, 2).float() / 127.5 - 1
        # Noise and soft edges, so that a judge of crisp scenes reads an autoencoder's pictures too.
        if step % 2:
            pictures = functional.avg_pool2d(functional.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, 1)
        objects, places = judge(pictures + 0.04 * torch.randn_like(pictures))
        loss = 8 * functional.binary_cross_entropy_with_logits(objects, present[rows])
        loss = loss + functional.cross_entropy(places, backgrounds[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return judge.eval()

"""What the middle of the UNet is taught: which toy lies where, told from the masks, and that a head can learn it."""

from __future__ import annotations

import torch

from models.training.base.dense import SIDE, DenseHead, dense_loss, parts_of
from models.training.reading.network import numbers_of
from models.training.world.roster import Toy
from models.training.world.world import ToySettings

STAR, FISH = Toy("star", "red", "striped"), Toy("fish", "blue", "plain")


def test_parts_tell_each_place_its_toy() -> None:
    scene = ToySettings(roster=(STAR, FISH), toy_counts=(0, 0, 1), seed=1).open().scene(3)
    parts = parts_of(scene.masks, scene.objects)
    assert parts.shape == (3, SIDE, SIDE)
    for toy, mask in zip(scene.objects, scene.masks, strict=True):
        inside = mask.reshape(SIDE, 4, SIDE, 4).all((1, 3))
        assert {tuple(row) for row in parts[:, inside].T.tolist()} == {tuple(n + 1 for n in numbers_of(toy))}
    assert not parts[:, ~scene.masks.any(0).reshape(SIDE, 4, SIDE, 4).any((1, 3))].any()


def test_the_dense_head_can_learn_its_parts() -> None:
    torch.manual_seed(0)
    scene = ToySettings(roster=(STAR, FISH), toy_counts=(0, 0, 1), seed=1).open().scene(3)
    parts = torch.from_numpy(parts_of(scene.masks, scene.objects))[None]
    head, features = DenseHead(16, 32), torch.randn(1, 16, 8, 8)
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-2)
    first = dense_loss(head(features), parts).item()
    for _ in range(60):
        loss = dense_loss(head(features), parts)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert head(features).shape == (1, 21 + 10 + 6, SIDE, SIDE)
    assert loss.item() < 0.2 * first

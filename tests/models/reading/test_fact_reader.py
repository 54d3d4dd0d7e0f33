"""The judge of facts: what it is trained on, how its readings are counted, and that it learns to find a toy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from models.training.reading.facts import assigned, read_facts
from models.training.reading.network import CELL, FactReader, load_reader, numbers_of, save_reader, toy_of
from models.training.reading.train import Examples, loss_of
from models.training.world.pool import render_pool
from models.training.world.roster import HELD_OUT, TRAINED, Toy
from models.training.world.world import ToySettings

STAR, FISH, CAR = Toy("star", "red", "striped"), Toy("fish", "blue", "plain"), Toy("car", "green", "checked")


@dataclass(frozen=True)
class Said:
    """A reading of a reader that says what it is told to."""

    toy: Toy


@dataclass(frozen=True)
class Parrot:
    """Says of each picture what `answers` has for it."""

    answers: list[list[Toy]]

    def read(self, pictures: np.ndarray, most: int = 3) -> list[list[Said]]:
        """See `facts.Reader`."""
        return [[Said(toy) for toy in toys[:most]] for toys in self.answers]


def test_numbers_stand_for_facts() -> None:
    assert [toy_of(numbers_of(toy)) for toy in TRAINED + HELD_OUT] == list(TRAINED + HELD_OUT)


def test_readings_are_given_to_the_toys_asked_for_as_favourably_as_can_be() -> None:
    blue_star = Toy("star", "blue", "striped")
    assert assigned([STAR, FISH], [FISH, blue_star]) == [(True, False, True), (True, True, True)]
    assert assigned([STAR, FISH], [CAR]) == [(False, False, False), (False, False, False)]
    assert assigned([STAR], []) == [(False, False, False)]


def test_shares_of_facts() -> None:
    answers = [[STAR], [Toy("star", "red", "plain")], [FISH, STAR], []]
    shares = read_facts(Parrot(answers), np.zeros((4, 8, 8, 3), np.uint8), [[STAR], [STAR], [STAR], [STAR]])
    assert (shares.silhouette, shares.colour, shares.pattern, shares.all_three) == (0.75, 0.75, 0.5, 0.5)
    assert (shares.whole, shares.exact) == (0.5, 0.25)
    two = read_facts(Parrot([[STAR, FISH], [STAR]]), np.zeros((2, 8, 8, 3), np.uint8), [[FISH, STAR], [FISH, STAR]])
    assert (two.all_three, two.whole, two.exact) == (0.75, 0.5, 0.5)


def test_middles_and_facts_of_a_pool(tmp_path: Path) -> None:
    settings = ToySettings(roster=(STAR, FISH), toy_counts=(0, 0, 1), overlaps=0, seed=1)
    examples = Examples.of(render_pool(settings, 2, tmp_path, 1))
    scene = settings.open().scene(0)
    for slot, (toy, mask) in enumerate(zip(scene.objects, scene.masks, strict=True)):
        rows, columns = np.nonzero(mask)
        assert examples.facts[0, slot].tolist() == list(numbers_of(toy))
        middle = [(columns.min() + columns.max() + 1) / 2 / CELL, (rows.min() + rows.max() + 1) / 2 / CELL]
        assert examples.middles[0, slot].tolist() == pytest.approx(middle)
    assert (examples.middles[:, 2] < -100).all(), "there is no third toy"


def test_the_reader_learns_to_find_and_tell_two_toys(tmp_path: Path) -> None:
    torch.manual_seed(0)
    settings = ToySettings(roster=(STAR, FISH), toy_counts=(0, 1), seed=2)
    pool = render_pool(settings, 24, tmp_path / "pool", 1)
    examples, model = Examples.of(pool), FactReader((8, 16, 24, 32))
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    for _ in range(60):
        loss = loss_of(model, examples, torch.randint(24, (12,)), "cpu")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    save_reader(model, tmp_path / "reader")
    reader = load_reader(tmp_path / "reader")
    shares = read_facts(reader, np.array(pool.images), [pool.names(row) for row in range(24)])
    assert shares.all_three > 0.9
    found = reader.read(np.array(pool.images[:1]))[0][0]
    assert (found.x / CELL, found.y / CELL) == pytest.approx(examples.middles[0, 0].tolist(), abs=1.6)


def test_nothing_is_read_where_nothing_is(tmp_path: Path) -> None:
    torch.manual_seed(0)
    assert FactReader((8, 16, 24, 32)).eval().read(np.zeros((2, 128, 128, 3), np.uint8)) == [[], []]

"""Measuring the base: what is asked for, and in which words."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from models.training.base.growing import build
from models.training.base.measure import Asked, called, composed, draw_asked, measure_vae, through
from models.training.base.vae import CHANNELS
from models.training.world.places.backgrounds import BACKGROUNDS
from models.training.world.roster import HELD_OUT, TRAINED, Toy

NAMES = [background.name for background in BACKGROUNDS]


def test_a_prompt_names_every_fact_in_the_pipelines_grammar() -> None:
    star, fish = Toy("star", "orange", "striped"), Toy("fish", "blue", "plain")
    assert Asked((star, fish), NAMES.index("snow")).prompt == (
        "a photo of an orange striped star and a plain blue fish in the snow"
    )
    assert (called(star), called(fish)) == ("an orange striped star", "a plain blue fish")
    assert Asked((fish,), NAMES.index("beach")).prompt == "a photo of a plain blue fish at the beach"


def test_toys_asked_for_together_differ_in_silhouette_and_places_come_in_turn() -> None:
    asked = draw_asked(TRAINED, 56, 2, seed=1)
    assert asked == draw_asked(TRAINED, 56, 2, seed=1)
    assert asked != draw_asked(TRAINED, 56, 2, seed=2)
    assert all(len({toy.silhouette for toy in one.toys}) == 2 for one in asked)
    assert set(Counter(one.place for one in asked).values()) == {4}
    few = draw_asked((Toy("star", "red", "plain"), Toy("star", "blue", "plain"), Toy("fish", "red", "plain")), 9, 2, 0)
    assert {one.toys[0].silhouette for one in few} == {"star", "fish"}
    assert all(len({toy.silhouette for toy in one.toys}) == 2 for one in few), "drawn again where they are alike"


def test_composed_scenes_come_with_what_is_in_them() -> None:
    pictures, asked = composed(5, 2, seed=3, roster=HELD_OUT)
    assert pictures.shape == (5, 128, 128, 3)
    assert all(len(one.toys) == 2 and set(one.toys) <= set(HELD_OUT) for one in asked)
    again, _ = composed(5, 2, seed=3, roster=HELD_OUT)
    assert np.array_equal(pictures, again)


def test_an_autoencoder_is_measured_and_gives_pictures_back_in_order(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    vae = build(CHANNELS).eval()
    pictures = np.random.default_rng(0).integers(0, 256, (3, 128, 128, 3), dtype=np.uint8)
    shown = through(vae, pictures)
    assert shown.shape == pictures.shape
    assert shown.dtype == np.uint8
    assert np.abs(shown[1:2].astype(int) - through(vae, pictures[1:2])).max() <= 1
    measure_vae(vae, tmp_path, scenes=8)
    assert "on 8 held-out scenes" in capsys.readouterr().out
    assert (tmp_path / "vae.png").exists()

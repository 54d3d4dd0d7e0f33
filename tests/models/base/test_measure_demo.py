"""The demo's pictures are held against the toys that its scenes are composed of."""

from __future__ import annotations

import numpy as np

from models.training.base.measure_demo import square_mask, toys_of
from models.training.world.demo_bucket import SCENES, toy_named
from tests.support import ROOT

TRUTH = ROOT / "demo" / "truth"


def test_a_concept_is_the_toy_whose_mask_it_covers_whatever_its_place() -> None:
    for number, plan in enumerate(SCENES):
        masks = [square_mask(TRUTH / f"scene-{number:02d}.mask{slot}.png", 128) for slot in range(len(plan.toys))]
        assert all(0.02 < mask.mean() < 0.5 for mask in masks)
        found = toys_of(np.stack(masks[::-1]), number, TRUTH)
        assert found == [toy_named(name) for name in plan.toys][::-1]


def test_a_concept_that_covers_none_is_nobodys() -> None:
    corner = np.zeros((1, 128, 128), bool)
    corner[0, :12, :12] = True
    assert toys_of(corner, 0, TRUTH) == [None]

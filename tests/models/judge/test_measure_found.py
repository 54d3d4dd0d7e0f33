"""Measuring `evaluate.found_at`: what is compared with what, and that a judge's scale does not matter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.training.judge import measure_found
from models.training.judge.scenes import judged_world
from models.training.world.scene import Scene
from tests.stages.evaluate.test_judging import ColourJudge


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    world = replace(judged_world(2), toy_counts=(0, 0.4, 0.6)).open()
    return [world.scene(number) for number in range(8)]


def test_toys_are_compared_with_those_of_other_scenes_by_what_differs(scenes: list[Scene]) -> None:
    first = scenes[0]
    again = [*scenes, first]
    cosines, kind, at = measure_found.compared(ColourJudge(), again, again)
    toys = len(cosines)
    assert cosines.shape == kind.shape == (toys, toys)
    assert at.shape == (toys,)
    assert (kind.diagonal() == -1).all(), "of one scene"
    places = range(toys - len(first.objects), toys)
    for place, of in zip(range(len(first.objects)), places, strict=True):
        assert kind[place, of] == 0
        assert cosines[place, of] == pytest.approx(1.0, abs=1e-5)
    assert at[0] == at[places[0]]


def test_a_judge_whose_cosines_lie_elsewhere_comes_to_the_same(scenes: list[Scene]) -> None:
    plain, elsewhere = (
        measure_found.compared(judge, scenes, scenes) for judge in (ColourJudge(), measure_found.Shifted(ColourJudge()))
    )
    assert torch.allclose(elsewhere[2], 0.5 + 0.5 * plain[2], atol=1e-4)
    near = np.abs(plain[0] - plain[2][:, None]) < 1e-3
    same = (plain[0] >= plain[2][:, None]) == (elsewhere[0] >= elsewhere[2][:, None])
    assert (same | near).all()

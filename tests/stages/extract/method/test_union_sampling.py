"""Union sampling: the prompt's order and the streams. Distributions: tests/golden/test_draws.py."""

from __future__ import annotations

from typing import Any

import torch

from schemas.templates import fill_template
from stages.extract.method.draws import SceneDraws


def test_prompt_keeps_the_order() -> None:
    assert fill_template("a photo of {handles}", ["<b>", "<a>"]) == "a photo of <b> and <a>"


def make_draws(**changes: Any) -> SceneDraws:
    return SceneDraws(3, "scene", 1, 3, (4, 8, 8), 1000, **changes)


def test_purposes_have_streams_of_their_own() -> None:
    plain, other = make_draws(), make_draws(union=False, flip=False, prior_images=10)
    for _ in range(5):
        a, b = plain.next(), other.next()
        assert a.timestep == b.timestep
        assert torch.equal(a.noise, b.noise)
        assert torch.equal(a.vae_noise, b.vae_noise)
        assert not torch.equal(a.noise, a.vae_noise)
        assert not b.flip


def test_phases_and_scenes_draw_different_numbers() -> None:
    first = SceneDraws(0, "scene", 1, 2, (4, 4, 4), 1000).next()
    for seed, scene_id, phase in ((0, "scene", 2), (0, "other", 1), (1, "scene", 1)):
        other = SceneDraws(seed, scene_id, phase, 2, (4, 4, 4), 1000).next()
        assert not torch.equal(first.noise, other.noise)

"""Union sampling: the distribution of subsets with their order, the streams, the union of masks."""

from __future__ import annotations

import math
from collections import Counter
from itertools import permutations

import pytest
import torch

from stages.extract.draws import SceneDraws
from stages.extract.union_sampling import draw_subset, fill_template, union_mask


def chi_square(counts: Counter, expected: dict[tuple[int, ...], float]) -> float:
    return sum((counts[key] - n) ** 2 / n for key, n in expected.items())


@pytest.mark.parametrize("concepts", [1, 2, 3])
def test_every_ordered_subset_has_its_probability(concepts: int) -> None:
    generator, draws = torch.Generator().manual_seed(7), 6000
    counts = Counter(draw_subset(concepts, generator) for _ in range(draws))
    # k is uniform, then every ordered choice of k is as likely as any other.
    expected = {order: draws / concepts / math.perm(concepts, k)
                for k in range(1, concepts + 1) for order in permutations(range(concepts), k)}
    assert set(counts) == set(expected)
    freedom = len(expected) - 1
    assert chi_square(counts, expected) < freedom + 4 * math.sqrt(2 * freedom) + 1e-9


def test_without_union_sampling_single_concepts_are_equally_likely() -> None:
    generator = torch.Generator().manual_seed(1)
    counts = Counter(draw_subset(3, generator, union=False) for _ in range(3000))
    assert set(counts) == {(0,), (1,), (2,)}
    assert chi_square(counts, dict.fromkeys(counts, 1000.0)) < 14


def test_prompt_keeps_the_order() -> None:
    assert fill_template("a photo of {handles}", ["<b>", "<a>"]) == "a photo of <b> and <a>"


def test_union_mask_is_the_maximum() -> None:
    masks = torch.tensor([[[0.2, 0.0]], [[0.7, 0.1]], [[0.9, 0.9]]])
    assert torch.equal(union_mask(masks, (1, 0)), torch.tensor([[0.7, 0.1]]))


def make_draws(**changes: object) -> SceneDraws:
    return SceneDraws(3, "scene", 1, 3, (4, 8, 8), 1000, **changes)  # type: ignore[arg-type]


def test_purposes_have_streams_of_their_own() -> None:
    plain, other = make_draws(), make_draws(union=False, flip=False, prior_images=10)
    for _ in range(5):
        a, b = plain.next(), other.next()
        assert a.timestep == b.timestep
        assert torch.equal(a.noise, b.noise)
        assert torch.equal(a.vae_noise, b.vae_noise)
        assert not torch.equal(a.noise, a.vae_noise)
        assert not b.flip


def test_flips_are_even_and_timesteps_cover_the_schedule() -> None:
    draws = SceneDraws(0, "scene", 1, 2, (1, 1, 1), 10)
    seen = [draws.next() for _ in range(2000)]
    assert abs(sum(d.flip for d in seen) - 1000) < 4 * math.sqrt(500)
    assert set(Counter(d.timestep for d in seen)) == set(range(10))


def test_phases_and_scenes_draw_different_numbers() -> None:
    first = SceneDraws(0, "scene", 1, 2, (4, 4, 4), 1000).next()
    for seed, scene_id, phase in ((0, "scene", 2), (0, "other", 1), (1, "scene", 1)):
        other = SceneDraws(seed, scene_id, phase, 2, (4, 4, 4), 1000).next()
        assert not torch.equal(first.noise, other.noise)

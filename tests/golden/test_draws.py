"""What a step draws: subsets, flips, timesteps and noise, against the distributions of the method (chi-square)."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from stages.extract.method.draws import Draw, SceneDraws
from stages.extract.method.union_sampling import draw_flip, draw_subset
from tests.golden import plain_formulas as plain

DRAWS = 20_000
LEAST_TAIL = 1e-4
"""A fair coin fails one seed in 10,000; the seeds are fixed."""


def tail(counts: Counter, shares: dict) -> float:
    """Chi-square tail of counted draws against the share that each outcome should have."""
    assert set(counts) <= set(shares), "something was drawn that cannot be"
    drawn = sum(counts.values())
    return plain.chi_square_tail([counts[key] for key in shares], [drawn * share for share in shares.values()])


@pytest.mark.parametrize("concepts", [1, 2, 3, 4])
def test_every_ordered_subset_has_its_probability(concepts: int) -> None:
    generator = torch.Generator().manual_seed(7)
    shares = plain.subset_probabilities(concepts)
    assert sum(shares.values()) == pytest.approx(1.0)
    counts = Counter(draw_subset(concepts, generator) for _ in range(DRAWS))
    assert concepts == 1 or tail(counts, shares) > LEAST_TAIL
    assert set(counts) == set(shares)


def test_without_union_sampling_single_concepts_are_equally_likely() -> None:
    generator = torch.Generator().manual_seed(1)
    counts = Counter(draw_subset(3, generator, union=False) for _ in range(DRAWS))
    assert tail(counts, {(j,): 1 / 3 for j in range(3)}) > LEAST_TAIL


def test_flips_are_even_and_do_not_hang_on_the_subset() -> None:
    generator = torch.Generator().manual_seed(3)
    counts = Counter((draw_subset(3, generator), draw_flip(generator)) for _ in range(DRAWS))
    shares = {
        (subset, flip): share / 2 for subset, share in plain.subset_probabilities(3).items() for flip in (False, True)
    }
    assert tail(counts, shares) > LEAST_TAIL


@pytest.fixture(scope="module")
def drawn() -> list[Draw]:
    """Short schedule, small latents: the streams are the ones that training draws from."""
    draws = SceneDraws(0, "scene", 2, 2, (2, 2, 2), 20, prior_images=7)
    return [draws.next() for _ in range(DRAWS)]


def test_timesteps_and_prior_pictures_are_uniform(drawn: list[Draw]) -> None:
    assert tail(Counter(d.timestep for d in drawn), dict.fromkeys(range(20), 1 / 20)) > LEAST_TAIL
    assert tail(Counter(d.prior_timestep for d in drawn), dict.fromkeys(range(20), 1 / 20)) > LEAST_TAIL
    assert tail(Counter(d.prior_index for d in drawn), dict.fromkeys(range(7), 1 / 7)) > LEAST_TAIL
    pairs = Counter((d.timestep, d.prior_timestep) for d in drawn)
    assert tail(pairs, {(a, b): 1 / 400 for a in range(20) for b in range(20)}) > LEAST_TAIL


@pytest.mark.parametrize("which", ["noise", "vae_noise", "prior_noise"])
def test_noise_is_standard_normal(drawn: list[Draw], which: str) -> None:
    values = torch.stack([getattr(d, which) for d in drawn]).double().flatten(1)
    # The normal distribution's own probability makes the values uniform; 25 bins.
    bins = (torch.special.ndtr(values) * 25).floor().long()
    assert tail(Counter(bins.flatten().tolist()), dict.fromkeys(range(25), 1 / 25)) > LEAST_TAIL
    neighbours = Counter(zip((bins[:, 0] // 5).tolist(), (bins[:, 1] // 5).tolist(), strict=True))
    assert tail(neighbours, {(a, b): 1 / 25 for a in range(5) for b in range(5)}) > LEAST_TAIL


def test_no_two_noises_of_a_step_are_the_same(drawn: list[Draw]) -> None:
    first = drawn[0]
    assert not torch.equal(first.noise, first.vae_noise)
    assert first.prior_noise is not None
    assert not torch.equal(first.noise, first.prior_noise)
    assert not torch.equal(first.vae_noise, first.prior_noise)

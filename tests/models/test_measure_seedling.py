"""How the seedling is measured: distances, retrieval, spreads and readings against answers known beforehand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from models.training.backgrounds import BACKGROUNDS
from models.training.frechet import frechet_distance
from models.training.judge import Reader, prompt_of, score_pairs, score_singles
from models.training.measure_base import draw_asked, prompts_of
from models.training.measure_clip import (
    GROUP,
    identity_scores,
    masked_concepts,
    prompt_scores,
    retrieval_in_groups,
)
from models.training.scores import chance_above, equal_error, retrieval, spread
from models.training.sprites import FIRST, HELD_OUT
from models.training.world import Scene
from stages.models.clip import load_clip
from tests.support.tiny_judges import build_tiny_clip


def with_moments(mean: Tensor, root: Tensor, count: int = 200, seed: int = 0) -> Tensor:
    """Features [count, d] of exactly this mean and of the covariance root @ root.T."""
    rows = torch.randn(count, len(mean), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    rows = rows - rows.mean(0)
    covariance = rows.T @ rows / (count - 1)
    return rows @ torch.linalg.inv(torch.linalg.cholesky(covariance)).T @ root.T + mean


def test_frechet_distance_of_known_gaussians() -> None:
    zero, shift = torch.zeros(3).double(), torch.tensor([3.0, 0.0, 4.0]).double()
    one, other = torch.diag(torch.tensor([1.0, 2.0, 3.0]).double()), torch.diag(torch.tensor([2.0, 2.0, 1.0]).double())
    distance = frechet_distance(with_moments(zero, one), with_moments(shift, other, 90, seed=1))
    assert distance == pytest.approx(25 + 1 + 0 + 4, abs=1e-6)
    features = with_moments(zero, one)
    assert frechet_distance(features, features[torch.randperm(200)]) == pytest.approx(0, abs=1e-6)


def test_frechet_distance_where_covariances_do_not_commute() -> None:
    root1, root2 = torch.tensor([[2.0, 0.0], [1.0, 1.0]]).double(), torch.tensor([[1.0, 0.0], [-2.0, 3.0]]).double()
    covariance1, covariance2 = root1 @ root1.T, root2 @ root2.T
    product = covariance1 @ covariance2
    trace_of_root = math.sqrt(product.trace() + 2 * math.sqrt(torch.linalg.det(product)))  # of any 2x2 matrix
    expected = float(covariance1.trace() + covariance2.trace()) - 2 * trace_of_root
    zero = torch.zeros(2).double()
    assert frechet_distance(with_moments(zero, root1), with_moments(zero, root2, seed=1)) == pytest.approx(expected)


def test_frechet_distance_with_fewer_features_than_dimensions() -> None:
    features = torch.randn(5, 20, generator=torch.Generator().manual_seed(0))
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-4)
    assert frechet_distance(features, features + 1) == pytest.approx(20, abs=1e-3)


def test_retrieval_counts_both_ways() -> None:
    captions = torch.eye(3)
    pictures = torch.tensor([[1.0, 0.0, 0.0], [0.9, 0.1, 0.0], [0.0, 0.2, 0.8]])
    assert retrieval(pictures, captions) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    pictures[1] = torch.tensor([0.9, 0.3, 0.0])  # now the second caption finds it, but it still finds the first
    assert retrieval(pictures, captions) == (pytest.approx(2 / 3), pytest.approx(1))


def test_equal_error_lies_where_as_many_are_wrong_on_either_side() -> None:
    apart = equal_error(torch.tensor([0.8, 0.9, 0.7]), torch.tensor([0.1, 0.5]))
    assert apart == (pytest.approx(0.7), 0)
    mixed = equal_error(torch.tensor([0.9, 0.8, 0.6, 0.3]), torch.tensor([0.1, 0.2, 0.4, 0.7]))
    assert mixed == (pytest.approx(0.6), 0.25)  # 0.3 is under it, 0.7 over it


def test_spread_and_chance() -> None:
    found = spread(torch.arange(101).float())
    assert (found.mean, found.low, found.high) == (50.0, 5.0, 95.0)
    assert chance_above(torch.tensor([2.0, 3.0]), torch.tensor([1.0, 2.0])) == pytest.approx(3.5 / 4)


class Spelling:
    """Judges by words: a picture says in its first row which sprites and which place it shows, and a feature has one
    dimension a word."""

    def __init__(self) -> None:
        self.words: dict[str, int] = {}

    def text_features(self, texts: list[str]) -> Tensor:
        features = torch.zeros(len(texts), 500)
        for row, text in enumerate(texts):
            for word in set(text.split()) - {"a", "an", "and", "of", "photo"}:
                features[row, self.words.setdefault(word, len(self.words))] = 1
        return torch.nn.functional.normalize(features, dim=1)

    def image_features(self, pictures: np.ndarray) -> Tensor:
        shown = [(*(n for n in picture[0, :3, 0].tolist() if n < 255), picture[0, 3, 0]) for picture in pictures]
        return self.text_features([prompt_of([FIRST[n] for n in row[:-1]], row[-1], colours=False) for row in shown])


def picture_of(*sprites: int, place: int) -> np.ndarray:
    picture = np.full((8, 8, 3), 255, np.uint8)
    picture[0, : len(sprites), 0], picture[0, 3, 0] = sprites, place
    return picture


def test_a_reader_finds_what_is_there_and_says_how_often() -> None:
    reader = Reader(Spelling(), FIRST)
    shown = np.stack([picture_of(3, place=1), picture_of(17, place=6), picture_of(0, place=0)])
    nouns, places = reader.read_one(shown)
    assert (nouns.tolist(), places.tolist()) == ([3, 17, 0], [1, 6, 0])
    assert score_singles(reader, shown, [(3, 1), (17, 5), (1, 4)]) == "noun 0.667 place 0.333"
    shown = np.stack([picture_of(9, 4, place=2), picture_of(20, 23, place=8), picture_of(5, 6, place=8)])
    assert reader.read_two(shown).tolist() == [[4, 9], [20, 23], [5, 6]]
    assert score_pairs(reader, shown, [(9, 4), (20, 21), (1, 2)]) == "both nouns 0.333 at least one 0.667"


def test_prompts_are_in_the_pipelines_grammar() -> None:
    assert prompt_of([HELD_OUT[0], HELD_OUT[1]], 3) == "a photo of a red tomato and a red crab in the snow"
    assert prompt_of([HELD_OUT[12]], None, colours=False) == "a photo of a baseball"
    assert prompt_of([], 1) == "a photo at the beach"
    asked = draw_asked(60, 2, len(FIRST), np.random.default_rng(0))
    assert all(len(set(row[:2])) == 2 for row in asked)
    counts = np.bincount(np.array(asked)[:, :2].ravel(), minlength=len(FIRST))
    assert counts.min() >= 4, "some sprites are asked for far more often than others"
    assert {row[2] for row in asked} == set(range(len(BACKGROUNDS)))
    assert all(FIRST[row[0]].noun in text for row, text in zip(asked, prompts_of(asked, FIRST), strict=True))


def made_scenes(count: int) -> list[Scene]:
    """Scenes of one held-out sprite each, a square of its own colour on noise."""
    dice, scenes = np.random.default_rng(0), []
    for number in range(count):
        masks = np.zeros((1, 32, 32), bool)
        masks[0, 8:24, 8 + number % 5 : 20 + number % 5] = True
        image = dice.integers(0, 120, (32, 32, 3)).astype(np.uint8)
        image[masks[0]] = np.random.default_rng(number % 30).integers(100, 256, 3)
        scenes.append(Scene(image, masks, (HELD_OUT[number % 30],), (number // 30) % len(BACKGROUNDS)))
    return scenes


def test_concepts_are_masked_and_scores_are_told_apart(tmp_path: Path) -> None:
    scenes, clip = made_scenes(60), load_clip(str(build_tiny_clip(tmp_path / "clip")))
    concepts = masked_concepts(scenes)
    assert concepts.sprites.tolist() == [number % 30 for number in range(60)]
    assert (concepts.pictures[~concepts.masks] == 0).all()
    assert (concepts.pictures[concepts.masks] >= 100).all()
    identity = identity_scores(clip, scenes, np.random.default_rng(0))
    sizes = [len(values) for values in identity.values()]
    assert sizes == [30, 60 * 59 // 2 - 30, 60, 60]
    assert chance_above(identity["same sprite, other scene"], identity["other sprite"]) > 0.7  # same colour, even so
    prompts = prompt_scores(clip, scenes, np.random.default_rng(0))
    assert [len(values) for values in prompts.values()] == [60] * 5
    assert all((values.abs() <= 1.0001).all() for values in (*identity.values(), *prompts.values()))


def test_retrieval_chooses_among_different_captions(tmp_path: Path) -> None:
    clip, scenes = load_clip(str(build_tiny_clip(tmp_path / "clip"))), made_scenes(130)
    to_text, to_picture, groups = retrieval_in_groups(clip, scenes + scenes)
    assert groups == 1  # 130 different captions of 260
    assert 0 <= to_text <= 0.2
    assert 0 <= to_picture <= 0.2
    with pytest.raises(ValueError, match=f"--scenes: 30 different captions are fewer than the {GROUP}"):
        retrieval_in_groups(clip, scenes[:30] * 4)

"""Whether a picture follows its prompt's place, by a judge that the test holds in its hands."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from models.training.base.following import followed, places_followed, without_concepts


def test_a_prompt_without_its_concepts_is_a_place() -> None:
    assert without_concepts("a photo of {handles} at the beach") == "a photo at the beach"
    assert without_concepts("{handles} in the snow") == "in the snow"
    assert without_concepts("a photo of {0} beside {teddy bear} at night") == "a photo beside at night"


def test_a_place_is_followed_where_it_is_nearest_alone() -> None:
    near, own = followed(np.array([[0.3, 0.1], [0.3, 0.1], [0.2, 0.2]]), [0, 1, 0])
    assert near.tolist() == [1.0, 0.0, 0.0]
    assert own.tolist() == [0.3, 0.1, 0.2]


class Judge:
    """Sees the snow in white pictures and the night in black ones."""

    def text_features(self, texts: list[str]) -> Tensor:
        assert texts == ["a photo in the snow", "a photo at night"]
        return torch.eye(2)

    def image_features(self, pictures: np.ndarray) -> Tensor:
        white = torch.from_numpy((pictures.mean(axis=(1, 2, 3)) > 128).astype(np.float32))
        return torch.stack([white, 1 - white], 1)


def test_pictures_are_read_against_the_places_of_their_templates() -> None:
    pictures = np.stack([np.full((4, 4, 3), shade, np.uint8) for shade in (255, 0, 0)])
    templates = ["a photo of {handles} in the snow", "a photo of {handles} at night"]
    near, own = places_followed(Judge(), pictures, templates, [0, 0, 1])
    assert near.tolist() == own.tolist() == [1.0, 0.0, 1.0]

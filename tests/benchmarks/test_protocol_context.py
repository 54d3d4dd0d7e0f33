"""What of a prompt is followed: its place apart from its concepts, by a judge that the test holds in its hands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.protocol_context import lines, read
from tests.support.sample_output import SampleOutput


def test_a_method_is_compared_scene_by_scene_over_the_scenes_that_all_have() -> None:
    own = {"a": (0.5, 0.1), "b": (0.75, 0.2), "c": (0.0, 0.0)}
    found = {"break_a_scene": own, "ti_m": {"a": (1.0, 0.3), "b": (1.0, 0.3)}}
    table = list(lines(found, 200, 0))
    assert table[2].startswith("| break_a_scene | 62 % [50, 75] |")
    assert "| +38 % [+25, +50] |" in table[3]
    assert "+0.150 [+0.100, +0.200]" in table[3]


class Judge:
    """Reads the first prompt as one direction and all others as another, and every picture as `seen`."""

    def __init__(self, seen: tuple[float, float]) -> None:
        self.seen = torch.tensor(seen)

    def text_features(self, texts: list[str]) -> Tensor:
        assert texts == ["a photo", "at night"]
        return torch.eye(2)

    def image_features(self, pictures: np.ndarray) -> Tensor:
        return self.seen.expand(len(pictures), 2)


@pytest.mark.parametrize(("seen", "expected"), [((0.8, 0.6), (1.0, 0.8)), ((0.6, 0.8), (0.0, 0.6))])
def test_pictures_of_an_output_are_read_against_the_prompts_of_its_spec(
    tmp_path: Path, seen: tuple[float, float], expected: tuple[float, float]
) -> None:
    settings = {"generate.prompts": ["a photo of {handles}", "{handles} at night"]}
    sample = SampleOutput(tmp_path / "out", settings=settings)
    found = read(sample.spec, Judge(seen))
    assert len(found) == 3, "scenes with pictures"
    assert all(of == pytest.approx(expected) for of in found.values())

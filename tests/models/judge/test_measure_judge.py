"""Measuring the judge of toys: every number is printed, and a judge that cannot know anything scores as chance does."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from models.training.judge import measure as measure_clip
from models.training.judge.captions import describe_fully
from models.training.judge.claims import FACTS, NUMBER
from models.training.judge.scenes import judged_world
from models.training.judge.towers import ClipSize, build_clip, export
from models.training.judge.train import open_tokenizer
from models.training.progress import Average
from models.training.world.roster import Toy
from models.training.world.scene import Scene
from stages.models.clip import ClipJudge, load_clip

SMALL = ClipSize(side=128, patch=32, width=64, layers=1, text_width=48, text_layers=1, heads=2)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    world = replace(judged_world(1), toy_counts=(0, 0.5, 0.5)).open()
    return [world.scene(i) for i in range(24)]


class Knowing(ClipJudge):
    """Reads every picture and text that it was told of as the same random direction; any other as a new one."""

    def __init__(self) -> None:
        self._known: dict[bytes | str, int] = {}

    def know(self, picture: np.ndarray, text: str) -> None:
        self._known[picture.tobytes()] = self._known.setdefault(text, len(self._known))

    def image_features(self, pictures: np.ndarray) -> torch.Tensor:
        return self._features([picture.tobytes() for picture in pictures])

    def text_features(self, texts: list[str]) -> torch.Tensor:
        return self._features(list(texts))

    def _features(self, keys: list[bytes] | list[str]) -> torch.Tensor:
        numbers = [self._known.setdefault(key, len(self._known)) for key in keys]
        return torch.nn.functional.one_hot(torch.tensor(numbers), 4000).float()


@pytest.fixture
def knowing(scenes: list[Scene]) -> Knowing:
    """A judge that knows each scene by its whole caption, and each masked toy as itself."""
    judge = Knowing()
    for scene in scenes:
        judge.know(scene.image, describe_fully(measure_clip.facts_of(scene), scene.background))
    concepts = measure_clip.masked_concepts(scenes)
    for picture, toy in zip(concepts.pictures, concepts.toys.tolist(), strict=True):
        judge.know(picture, f"toy {toy}")
    return judge


def test_concepts_are_masked_and_numbered(scenes: list[Scene]) -> None:
    concepts = measure_clip.masked_concepts(scenes)
    toys = [toy for scene in scenes for toy in scene.objects]
    assert concepts.toys.tolist() == [NUMBER[toy] for toy in toys]
    assert concepts.facts.tolist() == [list(FACTS[NUMBER[toy]]) for toy in toys]
    assert not concepts.pictures[~concepts.masks].any()


def test_a_judge_that_knows_tells_right_from_wrong(
    knowing: Knowing, scenes: list[Scene], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure_clip, "GROUP", 8)
    assert measure_clip.retrieval_in_groups(knowing, scenes) == (1, 1, 3)
    with pytest.raises(ValueError, match="fewer than the 8"):
        measure_clip.retrieval_in_groups(knowing, scenes[:7])
    prompts = measure_clip.prompt_scores(knowing, scenes, np.random.default_rng(0))
    assert prompts.pop("right prompt").tolist() == [1] * 24
    assert {name: scores.max().item() for name, scores in prompts.items()} == dict.fromkeys(prompts, 0)
    again = [*scenes, replace(scenes[0], image=scenes[0].image.copy())]
    identities = measure_clip.identity_scores(knowing, again, np.random.default_rng(0))
    assert identities["same toy"].min() == 1
    for name in ("other silhouette", "other colour", "other pattern", "two facts or more", "noise in its shape"):
        assert (identities[name] == 0).all(), name


def test_everything_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of an untrained judge, of twelve toys, and of scenes through an autoencoder that changes nothing."""
    few = tuple(Toy(*facts) for facts in product(("bunny", "star", "fish"), ("red", "blue"), ("plain", "striped")))
    monkeypatch.setattr(measure_clip, "judged_world", lambda seed: replace(judged_world(seed), roster=few))
    tokenizer, _ = open_tokenizer(tmp_path / "tokenizer")
    model = build_clip(tokenizer, SMALL)
    export(model, Average(model, 0.5), tmp_path / "tokenizer", tmp_path / "clip")
    monkeypatch.setattr(measure_clip, "GROUP", 8)
    monkeypatch.setattr(measure_clip, "SIMILAR", 16)
    monkeypatch.setattr(measure_clip, "through_autoencoder", lambda images, vae: None)
    measure_clip.measure_clip(load_clip(str(tmp_path / "clip")), 16, tmp_path, seed=1)
    said = capsys.readouterr().out
    assert "mean of 2 groups" in said
    readings = [line for line in said.splitlines() if line.startswith("  facts")]
    crisp, blurred = ([line.split(word)[1] for line in readings if word in line] for word in ("crisp", "autoencoder"))
    assert crisp == blurred
    assert len(crisp) == 4
    assert len(re.findall("^  prompt, ", said, re.M)) == 8
    assert len(re.findall("^  identity, ", said, re.M)) == 7

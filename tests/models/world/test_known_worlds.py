"""What encoded shards, rendered pools and states know their world by: a change of it asks for everything anew."""

from __future__ import annotations

import hashlib
from pathlib import Path

from models.training.judge.scenes import judged_world
from models.training.masks.worlds import lessons
from models.training.world.tokenizer import build
from models.training.world.world import ToySettings


def digest(settings: ToySettings) -> str:
    return hashlib.sha256(repr(settings).encode()).hexdigest()[:16]


def test_worlds_are_known_by_the_same_words_as_ever() -> None:
    """The words are `repr(settings)`: classes and fields keep their names and their order wherever they lie."""
    assert digest(ToySettings()) == "0aa6b7881e1e6d8f"
    assert digest(lessons(10)) == "b202a61158399840"
    assert digest(judged_world(20)) == "772ad4c7d8ae65d2"


def test_the_vocabulary_is_the_same_as_ever(tmp_path: Path) -> None:
    build(tmp_path)
    assert hashlib.sha256((tmp_path / "vocab.json").read_bytes()).hexdigest()[:16] == "fdadba7af5548eab"

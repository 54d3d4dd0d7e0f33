"""What a page can be filtered by: what pictures are worth, and words of concepts. The page has no script: a choice is a
radio button, and a style rule hides what is not of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.report.facts import KEPT_ONCE, LACKING, NOT_SCORED, SceneFacts

MAX_WORDS = 24


@dataclass(frozen=True)
class Choices:
    """states: what a picture is worth -> how many pictures, good ones first; words: word -> how many scenes, the most
    frequent ones; left_out: how many words there are besides."""

    states: Mapping[str, int]
    words: Mapping[str, int]
    left_out: int

    @property
    def pictures(self) -> int:
        return sum(self.states.values())

    def classes(self, states: Sequence[str], words: Sequence[str]) -> str:
        """The CSS classes of something of these states and words: their numbers alone, since words are strangers'."""
        marks = [f"s{number}" for number, name in enumerate(self.states) if name in states]
        return " ".join([*marks, *(f"w{number}" for number, name in enumerate(self.words) if name in words)])


def choices_of(scenes: Sequence[SceneFacts]) -> Choices:
    """The choices that these scenes leave."""
    states: Counter[str] = Counter()
    words: Counter[str] = Counter()
    for scene in scenes:
        states.update(scene.states)
        words.update(scene.words)
    first = (KEPT_ONCE, LACKING)
    rest = [name for name, _ in states.most_common() if name not in (*first, NOT_SCORED)]
    ordered = [name for name in (*first, *rest, NOT_SCORED) if states[name]]
    frequent = dict(sorted(words.items(), key=lambda item: (-item[1], item[0]))[:MAX_WORDS])
    return Choices({name: states[name] for name in ordered}, frequent, len(words) - len(frequent))

"""A study to be rated, and raters who follow a rule: their answers as the rating page writes them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.storage.folder import Storage
from pipeline.study.making import make_study
from pipeline.study.questions import OTHER, RIGHT, WRONG, others, picture_id
from tests.support.sample_output import SampleOutput

METHODS = ("break_a_scene", "ti_m", "cd_m")
Rule = Callable[[str, str], int]
"""(method or place in a check, aspect) -> the rating that a rater gives."""


def evaluated(folder: Path, methods: tuple[str, ...] = METHODS, scenes: int = 12) -> Path:
    """The OUTPUT of an evaluation of these methods; all but one of its scenes have pictures."""
    for name in methods:
        SampleOutput(folder / name, scenes=scenes)
    return folder


@dataclass(frozen=True)
class MadeStudy:
    """folder: where the page lies; told: what the command said."""

    folder: Path
    told: list[str]

    @property
    def text(self) -> str:
        return (self.folder / "index.html").read_text()

    @property
    def asked(self) -> dict[str, Any]:
        """What the page asks about."""
        found = re.search(r'<script type="application/json" id="study">(.*?)</script>', self.text, re.DOTALL)
        assert found is not None
        return dict(json.loads(found[1]))

    @property
    def key(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "key.json").read_text()))

    def questions(self) -> Iterator[dict[str, Any]]:
        for block in self.asked["blocks"]:
            yield from block

    def who(self, question: dict[str, Any], picture: str) -> str:
        """The method of a picture, or its place in a check."""
        names = (*self.key["methods"], RIGHT, WRONG, *others(len(self.key["methods"])))
        return next(name for name in names if picture_id(self.key["study"], question["id"], name) == picture)

    def ratings(self, rule: Rule) -> dict[str, int]:
        """Picture -> what a rater of this rule gives it."""
        return {
            picture: rule(self.who(question, picture), question["aspect"])
            for question in self.questions()
            for picture, _ in question["pictures"]
        }

    def answers(self, rater: str, rule: Rule, most: int | None = None) -> str:
        """A rater's file; of the first `most` questions alone, where it is given."""
        asked = list(self.questions())
        lines = ["study,rater,question,aspect,scene,position,of,place,picture,rating,seconds,answered_at"]
        ratings = self.ratings(rule)
        for position, question in enumerate(asked[:most], 1):
            for place, (picture, _) in enumerate(question["pictures"], 1):
                first = (self.key["study"], rater, question["id"], question["aspect"], question["scene"])
                last = (position, len(asked), place, picture, ratings[picture], 2.5, "2026-11-26T12:00:00.000Z")
                lines.append(",".join(map(str, (*first, *last))))
        return "\r\n".join(lines) + "\r\n"


def made_study(home: Path, questions: int = 40, seed: int = 0, **more: Any) -> MadeStudy:
    """The study of an evaluation, written beside it."""
    into = home.with_name(f"{home.name}-study")
    told = list(make_study([Storage(str(home))], Storage(str(into)), questions, seed, **more))
    return MadeStudy(into, told)


def attentive(seed: int, bonus: dict[str, float]) -> Rule:
    """Ratings around 3, by dice; `bonus` adds to a method's. Checks are passed."""
    dice = np.random.default_rng(seed)

    def rate(who: str, aspect: str) -> int:
        if who in (RIGHT, WRONG):
            return 5 if who == RIGHT else 1
        if who.startswith(OTHER):
            return 3
        return int(np.clip(round(3 + dice.normal(0, 1) + bonus.get(who, 0.0)), 1, 5))

    return rate

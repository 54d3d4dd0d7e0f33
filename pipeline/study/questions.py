"""The questions of a study, under ids that tell a rater nothing, and its attention checks among them.

A picture's id is a hash of study, question and method. Who reads the page cannot see the method in it; who analyses
the answers finds it by trying the names of the contestants.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from pipeline.study.images import cut_out, plain, scrambled
from pipeline.study.sets import PictureSet, lot

IDENTITY, PROMPT = "identity", "prompt"
ASPECTS = (IDENTITY, PROMPT)
RIGHT, WRONG, OTHER = "(right)", "(wrong)", "(other)"
"""Who a picture of an attention check is of, in the place of a method: the one that fits, the one that cannot, and one
that fills the place of another and counts for nothing."""
NOTHING = "a plain grey area, nothing on it"
"""The text of a check that reads like any other: the grey picture follows it, a photograph does not."""
BLOCK = 10
"""Questions to each attention check."""


@dataclass(frozen=True)
class Question:
    """aspect: what is asked; text: of the prompt, empty where the object is asked for; reference: number of the image
    that shows the object, or None; pictures: (id, number of the image), in an order by lot."""

    id: str
    aspect: str
    scene: str
    text: str
    reference: int | None
    pictures: list[tuple[str, int]]


@dataclass
class Study:
    """id: says which pictures, methods and seed; blocks: of questions, each with one attention check; images: what the
    questions number."""

    id: str
    seed: int
    methods: list[str]
    blocks: list[list[Question]] = field(default_factory=list)
    images: list[Image.Image] = field(default_factory=list)
    checks: int = 0

    @property
    def questions(self) -> int:
        """Without the checks."""
        return sum(map(len, self.blocks)) - self.checks


def picture_id(study: str, question: str, who: str) -> str:
    """What stands for the picture of a method in the page and in the answers."""
    return hashlib.sha256(f"{study}/{question}/{who}".encode()).hexdigest()[:12]


def others(methods: int) -> list[str]:
    """Who the pictures of a check are of beside the right one and the wrong one, as many as make it look like the
    questions around it."""
    return [f"{OTHER}{place}" for place in range(methods - 2)]


def study_of(sets: Sequence[PictureSet], methods: Sequence[str], seed: int) -> Study:
    """Each set is asked about twice: does a picture keep the object, and does it follow the prompt. A set whose
    concepts are all background is asked about its prompt alone.
    """
    study = Study(_id_of(sets, methods, seed), seed, list(methods))
    asked = [(each, PROMPT) for each in sets] + [(each, IDENTITY) for each in sets if each.mask is not None]
    asked.sort(key=lambda one: lot(seed, "question", one[0].scene_id, one[0].text, one[1]))
    checks = max(1, round(len(asked) / BLOCK))
    shown = _Images(study, seed)
    number = 0
    for block in range(checks):
        mine = asked[block::checks]
        questions: list[tuple[PictureSet, str, bool]] = [(each, aspect, False) for each, aspect in mine]
        with_mask = [each for each, _ in mine if each.mask is not None]
        about = ASPECTS[block % 2] if with_mask else PROMPT
        questions.append((with_mask[0] if about == IDENTITY else mine[0][0], about, True))
        questions.sort(key=lambda one: lot(seed, "place", block, one[0].scene_id, one[0].text, one[1], one[2]))
        made = []
        for each, aspect, check in questions:
            number += 1
            made.append(shown.question(f"q{number:03d}", each, aspect, check))
        study.blocks.append(made)
    study.checks = checks
    return study


def _id_of(sets: Sequence[PictureSet], methods: Sequence[str], seed: int) -> str:
    """Of what raters see: the same pictures, prompts, methods and seed are the same study."""
    digest = hashlib.sha256(repr((seed, list(methods))).encode())
    for each in sets:
        digest.update(repr((each.scene_id, each.text, each.concept, each.mask, each.digest)).encode())
    return digest.hexdigest()[:12]


class _Images:
    """Gives every picture its number once, whichever questions show it."""

    def __init__(self, study: Study, seed: int) -> None:
        self._study, self._dice = study, np.random.default_rng(seed)
        self._numbers: dict[tuple[int, str], int] = {}

    def question(self, name: str, each: PictureSet, aspect: str, check: bool) -> Question:
        study = self._study
        shown = {method: method for method in study.methods}
        if check:
            right, wrong = ("(source)", "(scrambled)") if aspect == IDENTITY else ("(plain)", "(source)")
            filling = study.methods[: len(study.methods) - 2]
            shown = {RIGHT: right, WRONG: wrong, **dict(zip(others(len(study.methods)), filling, strict=True))}
        by_id = sorted((picture_id(study.id, name, who), what) for who, what in shown.items())  # as good as a lot
        pictures = [(hashed, self._number(each, what)) for hashed, what in by_id]
        reference = self._number(each, "(object)") if aspect == IDENTITY else None
        text = "" if aspect == IDENTITY else NOTHING if check else each.text
        return Question(name, aspect, each.scene_id, text, reference, pictures)

    def _number(self, each: PictureSet, what: str) -> int:
        key = (id(each), what)
        if key not in self._numbers:
            self._numbers[key] = len(self._study.images)
            self._study.images.append(self._made(each, what))
        return self._numbers[key]

    def _made(self, each: PictureSet, what: str) -> Image.Image:
        picture = each.pictures.get(what, each.source)
        if what == "(object)":
            assert each.mask is not None, "asked for where there is one"
            return cut_out(picture, each.mask)
        if what == "(scrambled)":
            return scrambled(picture, self._dice)
        return plain(picture) if what == "(plain)" else picture

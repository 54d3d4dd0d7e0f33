"""What raters prefer: ratings of two methods' pictures, side by side in one question, turned into a choice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from pipeline.protocol.statistics.bootstrap import LEVEL, Interval
from pipeline.study.analysis.answers import Answer
from pipeline.study.analysis.crossed import Crossed, Value
from pipeline.study.questions import ASPECTS

EVEN = 0.5
LEAST_SCENES = 8
"""Below so many no preference is called found: a few scenes agree by chance too often."""


@dataclass(frozen=True)
class Level:
    """One method under one aspect. rating: mean of its ratings, 1 to 5; preferred: share of comparisons with the other
    methods' pictures that it wins, equal ratings counting half."""

    method: str
    aspect: str
    rating: Interval
    preferred: Interval
    ratings: int


@dataclass(frozen=True)
class Pair:
    """Two methods under one aspect. share: of comparisons that `method` wins over `other`; better: the one that is
    preferred whichever pair one looks at, or None where none is found."""

    method: str
    other: str
    aspect: str
    share: Interval
    comparisons: int
    better: str | None


def levels(answers: Sequence[Answer], methods: Sequence[str], crossed: Crossed) -> list[Level]:
    """Of every method and aspect that has answers."""
    found = []
    for aspect in ASPECTS:
        mine = [answer for answer in answers if answer.aspect == aspect]
        for method in methods:
            of = [answer for answer in mine if answer.who == method]
            rating = crossed.interval([(answer.rater, answer.scene, float(answer.rating)) for answer in of])
            won = [value for other in methods if other != method for value in _choices(mine, method, other)]
            preferred = crossed.interval(won)
            if rating is not None and preferred is not None:
                found.append(Level(method, aspect, rating, preferred, len(of)))
    return found


def pairs(answers: Sequence[Answer], methods: Sequence[str], crossed: Crossed) -> list[Pair]:
    """Of every two methods. Each share has its own 95 % interval; who is preferred is told by one so much wider
    (Bonferroni's) that all of them together hold the truth 95 times in 100."""
    asked = [(aspect, *two) for aspect in ASPECTS for two in combinations(methods, 2)]
    choices = {one: list(_choices([a for a in answers if a.aspect == one[0]], *one[1:])) for one in asked}
    looks = sum(map(bool, choices.values()))
    found = []
    for (aspect, method, other), values in choices.items():
        share = crossed.interval(values)
        if share is not None:
            wide = crossed.interval(values, 1 - (1 - LEVEL) / looks)
            found.append(Pair(method, other, aspect, share, len(values), _better(method, other, wide)))
    return found


def _choices(answers: Sequence[Answer], method: str, other: str) -> Iterator[Value]:
    """1 where a rater gave the picture of `method` more than that of `other` in the same question, 0 where less, a half
    where as much. answers: of one aspect."""
    theirs = {(a.rater, a.question): a.rating for a in answers if a.who == other}
    for answer in answers:
        if answer.who == method and (against := theirs.get((answer.rater, answer.question))) is not None:
            yield answer.rater, answer.scene, EVEN * (1 + (answer.rating > against) - (answer.rating < against))


def _better(method: str, other: str, wide: Interval | None) -> str | None:
    if wide is None or wide.low is None or wide.high is None or wide.scenes < LEAST_SCENES:
        return None
    return method if wide.low > EVEN else other if wide.high < EVEN else None

"""Who counts: raters who were looking, by the checks whose right answer is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.study.analysis.answers import Answer
from pipeline.study.questions import RIGHT, WRONG

PASS_SHARE = 0.75
"""Share of the checks that a rater saw and has to pass. Ratings by dice pass one check in six."""
HIGH, LOW = 4, 2
"""A check is passed by rating the right picture so high or higher, and the wrong one so low or lower."""


@dataclass(frozen=True)
class Attention:
    """Checks that one rater answered, and how many of them well."""

    rater: str
    checks: int
    passed: int

    @property
    def counts(self) -> bool:
        return self.checks > 0 and self.passed >= PASS_SHARE * self.checks

    def words(self) -> str:
        """The rater, and how many checks they passed where they answered any."""
        return f"{self.rater} (passed {self.passed} of {self.checks})" if self.checks else self.rater


def attention(answers: Sequence[Answer]) -> list[Attention]:
    """Of every rater, by name. A check of which only one of the two pictures is rated does not count."""
    rated: dict[str, dict[str, dict[str, int]]] = {}
    for answer in answers:
        mine = rated.setdefault(answer.rater, {})
        if answer.who in (RIGHT, WRONG):
            mine.setdefault(answer.question, {})[answer.who] = answer.rating
    found = []
    for rater, checks in sorted(rated.items()):
        whole = [check for check in checks.values() if len(check) == 2]
        passed = sum(check[RIGHT] >= HIGH and check[WRONG] <= LOW for check in whole)
        found.append(Attention(rater, len(whole), passed))
    return found

"""What each question of a study asks: from its key, or, without one, as the first row about it says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.errors import CommandError

_OF = ""
"""Stands for the study among the ids of its questions."""


class Asked:
    """Holds the columns `aspect`, `scene` and `of` against what is known. A key that was written before keys held the
    questions is as good as none: rows can contradict one another, but one alone is believed."""

    def __init__(self, key: Mapping[str, Any] | None) -> None:
        questions: Mapping[str, tuple[str, str]] = (key or {}).get("asked", {})
        self._whole = bool(questions)
        self._remedy = (
            "it was changed; ask its rater for it again"
            if self._whole
            else "one of the two was changed; ask for the files again"
            if key is not None
            else "one of the two was changed; name the folder of the study too, whose key.json tells which, or ask for "
            "the files again"
        )
        # (question, column) -> (value, where it stands)
        self._known: dict[tuple[str, str], tuple[str, str]] = {}
        for question, (aspect, scene) in questions.items():
            self._known[question, "aspect"] = aspect, "the study's key.json"
            self._known[question, "scene"] = scene, "the study's key.json"
        if questions:
            self._known[_OF, "of"] = str(len(questions)), "the study's key.json"

    def check(self, row: Mapping[str, str], file: str, place: int) -> None:
        """Raises CommandError for a row that says something else of its question, or of the number of questions."""
        question = row["question"]
        if self._whole and (question, "scene") not in self._known:
            raise CommandError(f"{file} line {place}: question {question!r} is none of the study; {self._remedy}")
        for about, column in ((question, "aspect"), (question, "scene"), (_OF, "of")):
            known, where = self._known.setdefault((about, column), (row[column], f"{file} line {place}"))
            if row[column] != known:
                whose = f" of question {question}" if about else ""
                raise CommandError(
                    f"{file} line {place}: {column}{whose} is {row[column]!r} here and {known!r} in {where}; "
                    f"{self._remedy}"
                )

"""Raters' CSV files read, held against each other, and every picture's method found again."""

from __future__ import annotations

import csv
import io
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.storage.folder import Storage
from pipeline.study.analysis.asked import Asked
from pipeline.study.compared import KNOWN
from pipeline.study.questions import ASPECTS, RIGHT, WRONG, others, picture_id
from schemas.errors import CommandError

COLUMNS = ("study", "rater", "question", "aspect", "scene", "of", "picture", "rating")
"""What is read of a file; a rater's has more: position, place, seconds, answered_at."""
RATINGS = range(1, 6)
_NUMBER = re.compile(r"[0-9]{1,4}")
"""What the page writes. `str.isdigit` takes `²` too, of which int() makes nothing."""
_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")


@dataclass(frozen=True)
class Answer:
    """One rating. who: a method, or RIGHT, WRONG or one of `others`, in an attention check."""

    rater: str
    question: str
    aspect: str
    scene: str
    who: str
    rating: int


@dataclass
class Answers:
    """methods: those with answers, in the order of the tables; of: questions that each rater was asked, checks among
    them; repeated: answers that stand in two files."""

    study: str
    methods: list[str]
    answers: list[Answer]
    of: int
    repeated: int
    empty: list[str] = field(default_factory=list)

    def raters(self) -> list[str]:
        return sorted({answer.rater for answer in self.answers})


def read_answers(files: Sequence[str], key: Mapping[str, Any] | None) -> Answers:
    """key: of the study, where its folder is named; without it the methods are those of an evaluation.

    Raises CommandError for a file that is none of a rater's, is of another study, or contradicts another or the key.
    """
    names = list(key["methods"]) if key is not None else list(KNOWN)
    study, first = (key["study"], "its folder") if key is not None else ("", "")
    unblind: dict[str, dict[str, str]] = {}
    found: dict[tuple[str, str, str], tuple[Answer, str]] = {}
    asked = Asked(key)
    read = Answers(study, [], [], 0, 0)
    for file in files:
        count = 0
        for place, row in _rows(file):
            count += 1
            if not study:
                study, first = row["study"], file
            if row["study"] != study:
                raise CommandError(
                    f"{file}: it is of study {row['study']!r}, {first} of {study!r}; analyse one study at a time"
                )
            question = row["question"]
            if question not in unblind:
                unblind[question] = {
                    picture_id(study, question, who): who for who in (*names, RIGHT, WRONG, *others(len(names)))
                }
            who = unblind[question].get(row["picture"])
            if who is None:
                remedy = "it was changed; ask its rater for it again" if key is not None else (
                    "name the folder of the study too, where its key.json is"
                )  # fmt: skip
                raise CommandError(
                    f"{file} line {place}: picture {row['picture']!r} is of no method known here; {remedy}"
                )
            asked.check(row, file, place)
            answer = Answer(
                row["rater"], question, row["aspect"], row["scene"], who, _rating(row["rating"], file, place)
            )
            read.of = int(row["of"])
            before = found.setdefault((answer.rater, question, who), (answer, file))
            if before[0].rating != answer.rating:
                raise CommandError(
                    f"{file} line {place}: rater {answer.rater} gives one picture {before[0].rating} in {before[1]} "
                    f"and {answer.rating} here; leave the older file out, or give one of two people another name"
                )
            read.repeated += before[1] != file
        read.empty += [] if count else [file]
    read.study, read.answers = study, [answer for answer, _ in found.values()]
    if not found:
        raise CommandError(f"{', '.join(files)}: no answer in there; ask the raters for their files again")
    seen = {answer.who for answer in read.answers}
    read.methods = [name for name in names if name in seen]
    return read


def _rows(file: str) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, row). A file that a spreadsheet has saved again may have semicolons."""
    storage, name = Storage(posixpath.dirname(file) or "."), posixpath.basename(file)
    try:
        text = storage.read(name).decode("utf-8-sig")
    except FileNotFoundError:
        raise CommandError(f"{file}: no such file; name the CSV files that raters sent") from None
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(
            f"{file}: cannot be read ({type(error).__name__}: {error}); ask its rater for it again"
        ) from None
    head = text.partition("\n")[0]
    table = csv.DictReader(io.StringIO(text), delimiter=";" if ";" in head and "," not in head else ",")
    lacking = [column for column in COLUMNS if column not in (table.fieldnames or ())]
    if lacking:
        raise CommandError(
            f"{file}: it has no column {lacking[0]}, so it is no rater's; name the files that raters sent"
        )
    try:
        rows = list(table)
    except csv.Error as error:
        raise CommandError(f"{file}: cannot be read ({error}); ask its rater for it again") from None
    for place, row in enumerate(rows, 2):
        if any(row[column] is None for column in COLUMNS):
            raise CommandError(f"{file} line {place}: it ends early; ask its rater for the file again")
        if not _NAME.fullmatch(row["rater"]):
            raise CommandError(
                f"{file} line {place}: rater {row['rater']!r} is no name that the page gives; ask its rater for "
                "the file again"
            )
        if row["aspect"] not in ASPECTS:
            raise CommandError(
                f"{file} line {place}: aspect {row['aspect']!r} is none of {', '.join(ASPECTS)}; ask its rater for the "
                "file again"
            )
        if not (_NUMBER.fullmatch(row["of"]) and int(row["of"])):
            raise CommandError(
                f"{file} line {place}: of {row['of']!r} is no number of questions; ask its rater for the file again"
            )
        yield place, row


def _rating(text: str, file: str, place: int) -> int:
    if _NUMBER.fullmatch(text) and int(text) in RATINGS:
        return int(text)
    raise CommandError(f"{file} line {place}: rating {text!r} is none of 1 to 5; ask its rater for the file again")

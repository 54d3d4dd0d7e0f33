"""`unscene study OUTPUT`: writes the page that raters get, and the key that they do not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.storage.folder import Storage
from pipeline.storage.probe import check_writable
from pipeline.study.asking.page import minutes, rating_page
from pipeline.study.compared import contest_of
from pipeline.study.images import MOST_BYTES, STEPS, data_uris
from pipeline.study.questions import ASPECTS, Study, study_of
from pipeline.study.sets import Drawn, draw_sets, reasons
from pipeline.wording import counted, size_text
from schemas.errors import CommandError, OutputError

FOLDER = "study"
"""Where a study lies under the OUTPUT of an evaluation."""
PAGE, KEY = "index.html", "key.json"


def make_study(
    outputs: Sequence[Storage], into: Storage, questions: int, seed: int, only: Sequence[str] = ()
) -> Iterator[str]:
    """Writes `into`/index.html and key.json; yields what to tell. questions: asked of a rater, without checks.

    Raises OutputError and CommandError for what cannot be compared, CommandError where `into` holds another study or
    the pictures are too many for one page.
    """
    contest = contest_of(outputs, only)
    drawn = draw_sets(contest.compared, -(-questions // 2), seed)
    study = study_of(drawn.sets, [one.name for one in contest.compared], seed)
    _check_folder(into, study)
    encoded = data_uris(study.images)
    if encoded is None:
        raise CommandError(
            f"--questions {questions}: {counted(len(study.images), 'picture')} do not fit {size_text(MOST_BYTES)} even "
            f"at {STEPS[-1][0]} pixels; ask fewer, or compare fewer methods by --only"
        )
    images, side = encoded
    page = rating_page(study, images).encode("utf-8", "replace")
    check_writable(into)
    into.write(PAGE, page)
    into.write(KEY, json.dumps(_key(study), indent=1).encode())
    yield from _told(study, drawn, questions, contest.without)
    side = min(side, max(max(image.size) for image in study.images))
    yield (
        f"page: {into.url_of(PAGE)} ({size_text(len(page))}, pictures of {side} pixels at most); each rater sends a "
        "CSV back"
    )
    yield f"key: {into.url_of(KEY)} names the methods; it is not for raters"


def _told(study: Study, drawn: Drawn, questions: int, without: Sequence[str]) -> Iterator[str]:
    scenes = len({each.scene_id for each in drawn.sets})
    yield (
        f"study {study.id}: {len(study.methods)} methods ({', '.join(study.methods)}), "
        f"{counted(study.questions, 'question')} about {counted(scenes, 'scene')}, and "
        f"{counted(study.checks, 'attention check')}: about {minutes(study)} min a rater"
    )
    if without:
        yield f"left out, as they have no pictures yet: {', '.join(without)}"
    if drawn.left_out:
        yield f"left out of the lot: {reasons(drawn.left_out)}"
    things = sum(each.mask is not None for each in drawn.sets)
    if study.questions < questions and things < len(drawn.sets):
        yield f"{len(drawn.sets) - things} of {len(drawn.sets)} prompts ask for backgrounds alone, and of no object"
    if 2 * len(drawn.sets) < questions:
        yield f"--questions {questions}: there are prompts for {study.questions} only"


def _key(study: Study) -> dict[str, Any]:
    return {
        "study": study.id,
        "seed": study.seed,
        "methods": study.methods,
        "questions": study.questions,
        "checks": study.checks,
        "asked": {each.id: [each.aspect, each.scene] for block in study.blocks for each in block},
    }


def _check_folder(into: Storage, study: Study) -> None:
    """Raises CommandError where the folder holds a study of other pictures, whose answers would fit no more."""
    if (known := read_key(into)) is not None and known["study"] != study.id:
        raise CommandError(
            f"--into {into.url}: the study {known['study']} lies there, with other pictures, methods or seed; name "
            "another folder, or delete that one if nobody has rated it"
        )


def read_key(folder: Storage) -> dict[str, Any] | None:
    """The key of the study in a folder; None where there is none. Raises OutputError for one that cannot be read."""
    if not folder.exists(KEY):
        return None
    try:
        key: dict[str, Any] = json.loads(folder.read(KEY))
        if not (isinstance(key["study"], str) and all(isinstance(name, str) for name in key["methods"])):
            raise ValueError("it is no key of a study")
        for question, (aspect, scene) in key.get("asked", {}).items():  # a key of an earlier version has none
            if not (aspect in ASPECTS and isinstance(scene, str)):
                raise ValueError(f"question {question} is none of a study")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise OutputError(
            f"{folder.url_of(KEY)} cannot be read ({type(error).__name__}: {error}); put it back from a copy, or have "
            "the study written anew into another folder"
        ) from None
    return key

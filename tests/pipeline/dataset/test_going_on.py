"""`unscene dataset`, typed again where its own folder, or the job, is not whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.labelled_output import LabelledOutput
from tests.support.made_coco import keys, made


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> LabelledOutput:
    """Four scenes with four pictures each, one of which is a copy; one fails in extract, and has none."""
    return LabelledOutput(tmp_path_factory.mktemp("made") / "out")


def first_lines(facts: Path) -> None:
    facts.write_bytes(b"".join(facts.read_bytes().splitlines(keepends=True)[:5]))


def emptied(facts: Path) -> None:
    facts.write_bytes(b"")


def inside_a_line(facts: Path) -> None:
    facts.write_bytes(facts.read_bytes()[:-20])


def overwritten(facts: Path) -> None:
    facts.write_bytes(facts.read_bytes().replace(b'"synthetic": true', b'"synthetic": "no"', 1))


def by_an_older_unscene(facts: Path) -> None:
    """Its records have no hash."""
    record = facts.with_suffix(".json")
    told = json.loads(record.read_text())
    told.pop("facts", None)
    record.write_text(json.dumps(told))


DAMAGES = (first_lines, emptied, Path.unlink, inside_a_line)


@pytest.mark.parametrize(
    ("damaged", "older"),
    [*((damaged, older) for damaged in DAMAGES for older in (False, True)), (overwritten, False)],
)
def test_a_part_whose_facts_are_damaged_is_written_anew(
    output: LabelledOutput, tmp_path: Path, damaged: Callable[[Path], None], older: bool
) -> None:
    made(output, tmp_path, validation=0.0)
    index = (tmp_path / "train" / "_annotations.coco.json").read_bytes()
    facts = tmp_path / ".unscene" / "parts" / "train-000000.jsonl"
    if older:
        by_an_older_unscene(facts)
        assert "(0 parts written, 1 there already)" in made(output, tmp_path, validation=0.0)[-1]
    damaged(facts)
    assert "(1 part written, 0 there already)" in made(output, tmp_path, validation=0.0)[-1]
    assert (tmp_path / "train" / "_annotations.coco.json").read_bytes() == index
    assert len(keys(tmp_path)) == 4 + 3 * 3
    assert "(0 parts written, 1 there already)" in made(output, tmp_path, validation=0.0)[-1]

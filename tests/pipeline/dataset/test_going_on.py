"""`unscene dataset`, typed again where its own folder, or the job, is not whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.dataset.choices import Choices, Format, Scenes
from pipeline.dataset.missing import Missing
from pipeline.dataset.source import DatasetSource
from pipeline.ledger.withdrawals import withdraw
from pipeline.stage_kinds import EXTRACT, GENERATE, INGEST, SEGMENT, StageKind
from pipeline.storage.folder import Storage
from schemas.errors import CommandError
from tests.support.labelled_output import LabelledOutput
from tests.support.made_coco import keys, made
from tests.support.sample_output import ALL_STAGES, with_given_handles


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


NOT_YET = {
    (): "3 scenes are not through ingest yet, and are left out",
    (INGEST,): "2 scenes are not through segment yet, and are left out",
    (INGEST, SEGMENT): "2 scenes are not through extract yet, and have no new pictures in it",
    (INGEST, SEGMENT, EXTRACT): "2 scenes are not through generate yet, and have no new pictures in it",
    (INGEST, SEGMENT, EXTRACT, GENERATE): "2 scenes are not through evaluate yet, and have no new pictures in it",
}
"""What the second shard's scenes are told of, by what is committed of it: one cannot be decoded."""
THEN = "and then the same command adds what came of it"


def missing(lines: list[str]) -> list[str]:
    return [line for line in lines if "not through" in line or " failed in " in line]


def again(output: LabelledOutput) -> str:
    return f"`unscene status {output.storage.url}` says why, `unscene retry {output.storage.url}` tries again, {THEN}"


@pytest.mark.parametrize("stages", NOT_YET)
def test_scenes_that_the_job_is_not_through_with_are_told(tmp_path: Path, stages: tuple[StageKind, ...]) -> None:
    output = LabelledOutput(tmp_path / "out", scenes=6, shards=1)
    output._commit_shard(1, stages)
    failed = [f"1 scene failed in ingest, and is left out; {again(output)}"] if stages else []
    failed.append(f"1 scene failed in extract, and has no new pictures in it; {again(output)}")
    lines = made(output, tmp_path / "set", validation=0.0)
    assert sorted(missing(lines)) == sorted([*failed, f"{NOT_YET[stages]}; `unscene run SPEC` goes on, {THEN}"])
    card = (tmp_path / "set" / "README.md").read_text().splitlines()
    assert {f"- {line.partition(';')[0]}" for line in missing(lines)} <= set(card)
    assert not any(output.storage.url in line for line in card), "which is read elsewhere"


def test_the_same_command_adds_what_was_not_there_yet(tmp_path: Path) -> None:
    output = LabelledOutput(tmp_path / "out", scenes=6, shards=1)
    made(output, tmp_path / "set", validation=0.0)
    before = keys(tmp_path / "set")
    output._commit_shard(1, ALL_STAGES)
    lines = missing(made(output, tmp_path / "set", validation=0.0))
    assert [line.partition(",")[0] for line in lines] == ["1 scene failed in ingest", "1 scene failed in extract"]
    assert len(keys(tmp_path / "set")) == len(before) + 2 * (1 + 3)


def test_what_is_missing_depends_on_what_is_asked_for(tmp_path: Path) -> None:
    output = LabelledOutput(tmp_path / "out", scenes=6, shards=1)
    lines = missing(made(output, tmp_path / "new", validation=0.0, scenes=Scenes.NONE))
    assert f"1 scene failed in extract, and is left out; {again(output)}" in lines
    (line,) = missing(made(output, tmp_path / "real", validation=0.0, scenes=Scenes.ONLY))
    assert line.startswith(NOT_YET[()])
    for scene in (output.failing, output.plan.scenes(1)[0]):
        withdraw(output.storage, scene)
    (line,) = missing(made(output, tmp_path / "some", validation=0.0))
    assert line.startswith("2 scenes are not through ingest yet")
    for scene in output.plan.scenes(0):
        withdraw(output.storage, scene)
    with pytest.raises(CommandError, match=r"out is left for the data set: left out: .*; 2 scenes are not through "):
        made(output, tmp_path / "none")


def test_scenes_that_an_earlier_output_lacks_are_told_of_that(output: LabelledOutput, tmp_path: Path) -> None:
    later = Storage(with_given_handles(tmp_path / "later", output).url)
    found = Missing(DatasetSource(later, new=False), Choices(Format.COCO))
    for shard in range(2):
        found.look(shard)
    draws = again(output).replace(THEN, f"`unscene run SPEC` draws what it learns, {THEN}")
    assert list(found.lines(remedies=True)) == [
        f"1 scene failed in ingest, and is left out; {draws}",
        f"1 scene failed in extract, and has no new pictures in it; {draws}",
    ]

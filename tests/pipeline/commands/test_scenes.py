"""`unscene scenes`: every scene of the plan in one line, found by its file, its id or a word, at any moment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.commands.scenes import ListedScene, as_json, list_scenes, scene_lines
from pipeline.stage_kinds import INGEST, SEGMENT
from pipeline.storage.folder import Storage
from schemas.errors import CommandError, OutputError
from tests.support.sample_output import SampleOutput, with_given_handles


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> SampleOutput:
    return SampleOutput(tmp_path_factory.mktemp("scenes") / "out")


def by_path(scenes: list[ListedScene]) -> dict[str, ListedScene]:
    return {scene.path: scene for scene in scenes}


def test_every_scene_of_the_plan_is_listed_once(sample: SampleOutput) -> None:
    scenes = list(list_scenes(sample.storage))
    assert sorted(scene.scene_id for scene in scenes) == sorted(
        scene_id for shard in (0, 1) for scene_id in sample.plan.scenes(shard)
    )
    found = by_path(scenes)
    first = found["0000/<script>alert(1)</script>.jpg"]
    assert first.uris == [sample.uris[0], "/photos/9999/copy.jpg"]
    assert (first.stage, first.words, first.pictures, first.kept, first.complete) == (
        "evaluate",
        ["cat", None],
        4,
        3,
        4,
    )
    broken = found["broken.jpg"]
    assert (broken.stage, broken.words, broken.pictures, broken.kept) == (None, [], 0, None)
    assert broken.failure is not None
    assert "  broken.jpg: failed in ingest: " in broken.line(), "what has failed waits for nothing"
    lost = next(scene for scene in scenes if scene.scene_id == sample.failing)
    assert (lost.stage, lost.pictures, lost.kept) == ("segment", 0, None)
    assert "; failed in extract: diverged at phase 1 step 7 <b>" in lost.line()
    assert first.line().endswith(": through evaluate; 2 concepts (cat); 4 pictures; 3 kept, 4 with every concept once")


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        *(("broken", 1), ("COPY.jpg", 1), ("пляж", 1), ("Zoe\u0308", 1), ("cat", 4), ("0000/", 1)),
        *(("nowhere", 0), ("", 5)),
        *(("photos", 0), ("/photos/broken.jpg", 1)),  # what all paths begin with finds nobody, and a whole address one
    ],
)
def test_a_scene_is_found_by_file_and_word(sample: SampleOutput, wanted: str, count: int) -> None:
    assert len(list(list_scenes(sample.storage, wanted))) == count


def test_a_scene_is_found_by_the_beginning_of_its_id(sample: SampleOutput) -> None:
    (found,) = list_scenes(sample.storage, sample.failing[:10].upper())
    assert found.scene_id == sample.failing


def test_without_a_job_nothing_is_written_before_that_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"no run\.json there"):
        list_scenes(Storage(str(tmp_path)))  # and `--json` has printed no beginning of an object


def test_none_found_is_one_sentence_and_some_are_counted(sample: SampleOutput) -> None:
    with pytest.raises(CommandError, match="--find nowhere: no scene of .* is called so; without --find all"):
        list(scene_lines(list_scenes(sample.storage, "nowhere"), sample.storage, "nowhere"))
    assert list(scene_lines(list_scenes(sample.storage), sample.storage, None))[-1] == "5 scenes, 2 failed"


def test_the_json_has_its_documented_names(sample: SampleOutput) -> None:
    found = json.loads("".join(as_json(list_scenes(sample.storage), sample.storage)))
    assert found["output"] == sample.storage.url
    assert len(found["scenes"]) == 5
    for scene in found["scenes"]:
        assert list(scene) == [
            *("scene_id", "path", "uris", "stage", "concepts", "words", "pictures", "kept", "complete", "failure"),
            *("unreadable", "withdrawn"),
        ]
    failures = [scene["failure"] for scene in found["scenes"] if scene["failure"]]
    assert sorted(failure["stage"] for failure in failures) == ["extract", "ingest"]
    assert json.loads("".join(as_json(iter(()), sample.storage)))["scenes"] == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"evaluate.min_identity": 0.5, "evaluate.concepts": "any"}, "3 kept, 4 with every concept once"),
        ({"evaluate.concepts": "any"}, "4 with every concept once"),
    ],
)
def test_kept_is_said_only_where_something_was_asked_for(tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    sample = SampleOutput(tmp_path / "out", settings=settings)
    (found,) = list_scenes(sample.storage, "0000/")
    assert found.line().endswith(f"; 4 pictures; {said}")


def test_a_job_at_work_says_how_far_each_scene_is(tmp_path: Path) -> None:
    sample = SampleOutput(tmp_path / "out", stages=(INGEST, SEGMENT), shards=1)
    stages = {scene.uris[0]: scene.stage for scene in list_scenes(sample.storage)}
    planned = {row["uri"]: row["shard"] for row in sample.plan.all_rows() if row["duplicate_of"] is None}
    assert stages == {uri: "segment" if shard == 0 else None for uri, shard in planned.items()}
    assert any(scene.line().endswith(": waiting") for scene in list_scenes(sample.storage))


def test_pictures_of_given_handles_are_listed_with_the_earlier_concepts(sample: SampleOutput, tmp_path: Path) -> None:
    found = by_path(list(list_scenes(with_given_handles(tmp_path / "more", sample))))
    first = found["0000/<script>alert(1)</script>.jpg"]
    assert (first.stage, len(first.words), first.pictures, first.kept) == ("generate", 2, 4, None)


def test_a_table_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    sample = SampleOutput(tmp_path / "out")
    (tmp_path / "out" / "scores" / "scores-000000.parquet").write_bytes(b"broken")
    (found,) = list_scenes(sample.storage, "0000/")
    assert (found.kept, found.unreadable) == (None, ["scores"])
    assert found.line().endswith("cannot be read: scores")


def test_a_folder_that_is_no_output_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no run.json there"):
        list(list_scenes(Storage(str(tmp_path))))

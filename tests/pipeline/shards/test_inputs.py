"""What a worker reads for a unit: rows and files of its scenes and of no others, each table from its own OUTPUT."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.shards.inputs import Inputs
from pipeline.shards.unit import Unit
from pipeline.storage.folder import Storage
from schemas.outcomes import SceneTask
from tests.support.sample_output import SampleOutput, encoded, picture_colour, with_given_handles

NEEDS, FILES = ("concepts", "variations"), ("scenes", "variations")
"""What the evaluate stage asks for: of two tables, in two tars."""


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> SampleOutput:
    return SampleOutput(tmp_path_factory.mktemp("sample") / "out", scenes=6, variations=2)


def read(sample: SampleOutput, inputs: Inputs, count: int = 2) -> list[SceneTask]:
    scenes = tuple(sample.plan.scenes(1))[:count]
    unit = Unit("evaluate", 1, 0, scenes, {}, {"scenes": 0, "concepts": 0, "variations": 0})
    return inputs.tasks(unit, NEEDS, FILES)


def expected_picture(number: int) -> bytes:
    return encoded((10, 20 * number % 250, 30), "JPEG")


def check(sample: SampleOutput, tasks: list[SceneTask], pictures: int) -> None:
    assert len(tasks) == 2
    for task in tasks:
        assert set(task.rows) == set(NEEDS)
        assert {row["scene_id"] for rows in task.rows.values() for row in rows} == {task.scene_id}
        assert len(task.rows["variations"]) == pictures
        assert set(task.files) == {"png"} | {f"{n:04d}.{kind}" for n in range(pictures) for kind in ("jpg", "json")}
        assert task.files["png"] == encoded(picture_colour(sample.number_of(task.scene_id)))
        for number in range(pictures):
            assert task.files[f"{number:04d}.jpg"] == expected_picture(number)
            assert task.files[f"{number:04d}.json"] == b"{}"


def test_a_scenes_variations_and_its_picture_keep_apart(sample: SampleOutput) -> None:
    check(sample, read(sample, Inputs(sample.storage)), 4)


def test_with_given_handles_variations_come_from_here_and_the_rest_from_there(
    sample: SampleOutput, tmp_path: Path
) -> None:
    more = with_given_handles(tmp_path / "more", sample, variations=1)
    check(sample, read(sample, Inputs(more, sample.storage)), 2)


def test_a_scenes_members_are_one_read(sample: SampleOutput, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty pictures of a scene in a bucket are forty requests otherwise."""
    reads: list[str] = []
    plain = Storage.read_range

    def counted(self: Storage, name: str, start: int, length: int) -> bytes:
        reads.append(name)
        return plain(self, name, start, length)

    monkeypatch.setattr(Storage, "read_range", counted)
    read(sample, Inputs(sample.storage))
    assert sorted(reads) == ["scenes/scenes-000001.tar"] * 2 + ["variations/variations-000001.tar"] * 2

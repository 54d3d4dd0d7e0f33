"""What holds of every format: the same command again, a bucket, memory, a process that ends at any step."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest

from pipeline.dataset.choices import Choices, Format, Scenes
from pipeline.dataset.making import make_dataset
from pipeline.ledger.withdrawals import FOLDER
from pipeline.storage.folder import Storage
from schemas.errors import CommandError
from schemas.outcomes import SceneOutput
from tests.pipeline.shards.test_memory import MIB, peak_of
from tests.support.labelled_output import LabelledOutput


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> LabelledOutput:
    return LabelledOutput(tmp_path_factory.mktemp("made") / "out", scenes=4, variations=1)


def made(output: LabelledOutput, into: str | Path, format_: Format, part_bytes: int = 1, **options: Any) -> list[str]:
    return list(make_dataset(output.storage, Choices(format_, **options), str(into), part_bytes))


def content(into: Path) -> dict[str, bytes]:
    return {str(file.relative_to(into)): file.read_bytes() for file in into.rglob("*") if file.is_file()}


@pytest.mark.parametrize("format_", Format)
def test_the_same_command_changes_no_byte_and_mends_each_part(
    output: LabelledOutput, tmp_path: Path, format_: Format
) -> None:
    made(output, tmp_path, format_, validation=0.4)
    before = content(tmp_path)
    assert "(0 parts written, 4 there already)" in made(output, tmp_path, format_, validation=0.4)[-1]
    assert content(tmp_path) == before
    torn = next(name for name in before if name.endswith((".tar", ".parquet", ".png")) and "metadata/" not in name)
    (tmp_path / torn).write_bytes(before[torn][:-1])
    assert "(1 part written, 3 there already)" in made(output, tmp_path, format_, validation=0.4)[-1]
    assert content(tmp_path) == before


@pytest.mark.parametrize("format_", Format)
def test_a_bucket_holds_what_a_folder_does(output: LabelledOutput, tmp_path: Path, format_: Format) -> None:
    made(output, tmp_path / "set", format_)
    url = f"memory://{tmp_path.name}/{format_}"
    made(output, url, format_)
    assert "(0 parts written, 4 there already)" in made(output, url, format_)[-1]
    fs = fsspec.filesystem("memory")
    there = {name.partition(f"/{format_}/")[2]: fs.cat_file(name) for name in fs.find(f"/{tmp_path.name}/{format_}")}
    here = content(tmp_path / "set")
    assert there.keys() == here.keys()
    assert all(there[name] == here[name] for name in here)


@pytest.mark.parametrize("format_", Format)
def test_what_is_withdrawn_leaves_every_file(tmp_path: Path, format_: Format) -> None:
    output = LabelledOutput(tmp_path / "out", scenes=4, variations=1)
    made(output, tmp_path / "set", format_, part_bytes=2**20, validation=0.4)
    gone = output.plan.scenes(0)[0]
    output.storage.create(f"{FOLDER}/{gone}", b"")
    lines = made(output, tmp_path / "set", format_, part_bytes=2**20, validation=0.4)
    assert "3 of a withdrawn scene" in lines[-2 if format_ is not Format.YOLO else -3]
    assert not any(gone in name or gone.encode() in data for name, data in content(tmp_path / "set").items())


@pytest.mark.parametrize("format_", Format)
@pytest.mark.parametrize("scenes", [Scenes.INCLUDE, Scenes.ONLY])
def test_of_a_data_set_whose_scenes_are_all_withdrawn_nothing_is_left(
    tmp_path: Path, format_: Format, scenes: Scenes
) -> None:
    """It said that --classes left out every word, and kept all that it had."""
    output = LabelledOutput(tmp_path / "out", scenes=2, variations=1)
    made(output, tmp_path / "set", format_, scenes=scenes, validation=0.4)
    for gone in output.plan.scenes(0):
        output.storage.create(f"{FOLDER}/{gone}", b"")
    with pytest.raises(CommandError, match="of a withdrawn scene.*, is removed") as error:
        made(output, tmp_path / "set", format_, scenes=scenes, validation=0.4)
    assert ("--unkept" in str(error.value)) is (scenes is Scenes.INCLUDE)
    assert content(tmp_path / "set") == {}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> LabelledOutput:
    return LabelledOutput(tmp_path_factory.mktemp("small") / "out", scenes=3, variations=1)


@pytest.mark.parametrize("format_", Format)
def test_a_process_that_ends_at_any_write(
    small: LabelledOutput, tmp_path: Path, format_: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it leaves, the same command makes of it what one that was never stopped makes."""
    left = 10**6

    def ending(kind: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: Any) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            kind(*arguments)

        return call

    for name in ("write", "publish", "delete"):
        monkeypatch.setattr(Storage, name, ending(getattr(Storage, name)))
    made(small, tmp_path / "whole", format_)
    whole, steps = content(tmp_path / "whole"), 10**6 - left
    for last in (1, steps // 3, steps // 2, steps - 2):
        left = last
        with pytest.raises(KeyboardInterrupt):
            made(small, tmp_path / str(last), format_)
        left = 10**6
        made(small, tmp_path / str(last), format_)
        assert content(tmp_path / str(last)) == whole


@pytest.mark.parametrize("format_", Format)
def test_what_is_withdrawn_after_an_end_in_its_middle_leaves_nothing(
    tmp_path: Path, format_: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its part was never finished, and is none of the data set any more."""
    output = LabelledOutput(tmp_path / "out", scenes=3, variations=1)
    made(output, tmp_path / "whole", format_, validation=0.0)
    told = (tmp_path / "whole" / ".unscene" / "parts" / "train-000002.jsonl").read_text()
    gone = json.loads(told.splitlines()[0])["scene_id"]
    write, publish = Storage.write, Storage.publish

    def ending(storage: Storage, name: str, data: bytes) -> None:
        if name.endswith("train-000002.jsonl"):
            raise KeyboardInterrupt
        write(storage, name, data)

    def unnamed(storage: Storage, source: str, target: str) -> None:
        if "train-000002" in target:
            raise KeyboardInterrupt
        publish(storage, source, target)

    monkeypatch.setattr(Storage, "write", ending)
    monkeypatch.setattr(Storage, "publish", unnamed)
    with pytest.raises(KeyboardInterrupt):
        made(output, tmp_path / "set", format_, validation=0.0)
    monkeypatch.undo()
    assert any(gone in name or gone.encode() in data for name, data in content(tmp_path / "set").items())
    output.storage.create(f"{FOLDER}/{gone}", b"")
    made(output, tmp_path / "set", format_, validation=0.0)
    assert not any(gone in name or gone.encode() in data for name, data in content(tmp_path / "set").items())


class Heavy(LabelledOutput):
    """Its new pictures have a MiB each."""

    def _output(self, stage: str, scene_id: str, row: dict[str, Any]) -> SceneOutput:
        output = super()._output(stage, scene_id, row)
        if stage == "generate":
            output.files = {
                name: data + bytes(MIB) if name.endswith(".jpg") else data for name, data in output.files.items()
            }
        return output


@pytest.fixture(scope="module")
def heavy(tmp_path_factory: pytest.TempPathFactory) -> Heavy:
    return Heavy(tmp_path_factory.mktemp("heavy") / "out", scenes=20)


@pytest.mark.parametrize("format_", Format)
def test_memory_does_not_grow_with_the_pictures(heavy: Heavy, tmp_path: Path, format_: Format) -> None:
    peak = peak_of(lambda: made(heavy, tmp_path, format_, 2**30, scenes=Scenes.NONE, validation=0.0))
    assert peak < 40, f"{peak:.0f} MiB for 57 pictures of a MiB each"

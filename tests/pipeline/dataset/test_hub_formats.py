"""ImageFolder and Parquet, by Hugging Face datasets and by readers that know nothing of it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Image, load_dataset
from PIL import Image as Pictures

from pipeline.dataset.choices import Choices, Format, Scenes
from pipeline.dataset.formats.parquet import GROUP_ROWS
from pipeline.dataset.making import make_dataset
from pipeline.ledger.withdrawals import FOLDER
from pipeline.stage_kinds import INGEST, SEGMENT
from tests.support.labelled_output import LabelledOutput


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> LabelledOutput:
    return LabelledOutput(tmp_path_factory.mktemp("made") / "out", scenes=10)


def made(output: LabelledOutput, into: Path, format_: Format, part_bytes: int = 200, **options: Any) -> Path:
    """In several parts, where no other size is given."""
    list(make_dataset(output.storage, Choices(format_, **options), str(into), part_bytes))
    return into


def masks_fit(row: dict[str, Any]) -> bool:
    """Whether masks, areas and classes of a row say the same."""
    classes, ids = np.asarray(row["mask"]), np.asarray(row["instance"])
    return all(
        (ids == thing["id"]).sum() == thing["area"] and set(classes[ids == thing["id"]]) == {thing["category"] + 1}
        for thing in row["objects"]
    )


@pytest.mark.parametrize("format_", [Format.IMAGEFOLDER, Format.PARQUET])
@pytest.mark.parametrize("scenes", Scenes)
def test_datasets_loads_the_folder_as_it_is(
    output: LabelledOutput, tmp_path: Path, format_: Format, scenes: Scenes
) -> None:
    into = made(output, tmp_path / "set", format_, validation=0.3, scenes=scenes)
    assert len(list((into / "data").glob("train-*") if format_ is Format.PARQUET else (into / "train").iterdir())) > 1
    loaded = load_dataset(str(into), cache_dir=str(tmp_path / "cache"))
    assert set(loaded) == {"train", "validation"}
    assert not set(loaded["train"]["scene_id"]) & set(loaded["validation"]["scene_id"])
    features = loaded["train"].features
    assert sum(isinstance(feature, Image) for feature in features.values()) == 3
    assert features["label"] == ClassLabel(names=["cat", "dog"])
    rows = [*loaded["train"], *loaded["validation"]]
    assert len(rows) == {Scenes.INCLUDE: 37, Scenes.ONLY: 10, Scenes.NONE: 27}[scenes]
    assert all(masks_fit(row) for row in rows)
    assert all(row["image"].size == row["mask"].size == (row["width"], row["height"]) for row in rows)
    streamed = load_dataset(str(into), split="train", streaming=True)
    assert [row["key"] for row in streamed] == list(loaded["train"]["key"])


def test_parquet_is_a_table_for_everybody(output: LabelledOutput, tmp_path: Path) -> None:
    into = made(output, tmp_path / "set", Format.PARQUET, validation=0.0)
    found = duckdb.sql(
        f"select key, unnest(objects, recursive := true) from '{into}/data/*.parquet' where synthetic order by key"
    ).fetchall()
    assert len(found) == 9 * 4
    table = pq.read_table(into / "data" / "train-000000.parquet")
    picture = table.column("image")[0].as_py()
    assert Pictures.open(io.BytesIO(picture["bytes"])).size == (32, 32)
    assert picture["path"] == table.column("file_name")[0].as_py()


def scenes_of(rows: Any) -> list[str]:
    return [row["scene_id"] if "scene_id" in row else row["json"]["scene_id"] for row in rows]


@pytest.mark.parametrize("format_", Format)
def test_what_was_read_before_is_not_served_for_what_is_there(tmp_path: Path, format_: Format) -> None:
    """datasets keeps what it has read by the folder's name and its card."""
    output = LabelledOutput(tmp_path / "out", scenes=6, shards=1)
    other = LabelledOutput(tmp_path / "other", scenes=3)
    cache, into = str(tmp_path / "cache"), tmp_path / "set"
    made(output, into, format_, scenes=Scenes.ONLY, validation=0.0)
    made(other, tmp_path / "elsewhere" / "set", format_, scenes=Scenes.ONLY, validation=0.0)
    first = scenes_of(load_dataset(str(into), split="train", cache_dir=cache))
    assert len(scenes_of(load_dataset(str(tmp_path / "elsewhere" / "set"), split="train", cache_dir=cache))) < len(
        first
    )
    gone = first[0]
    output.storage.create(f"{FOLDER}/{gone}", b"")
    made(output, into, format_, scenes=Scenes.ONLY, validation=0.0)
    assert scenes_of(load_dataset(str(into), split="train", cache_dir=cache)) == first[1:]


@pytest.mark.parametrize("format_", [Format.IMAGEFOLDER, Format.PARQUET])
def test_a_new_class_is_known_to_every_part(tmp_path: Path, format_: Format) -> None:
    output = LabelledOutput(tmp_path / "out", scenes=6, shards=1)
    into = made(output, tmp_path / "set", format_, scenes=Scenes.ONLY, validation=0.0)
    output.words = ("ant", "dog")
    output._commit_shard(1, (INGEST, SEGMENT))
    made(output, into, format_, scenes=Scenes.ONLY, validation=0.0)
    loaded = load_dataset(str(into), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.features["label"].names == ["cat", "dog", "ant"]
    names = {thing["name"]: thing["category"] for row in loaded for thing in row["objects"]}
    assert names == {"cat": 0, "dog": 1, "ant": 2}


def test_row_groups_are_small(tmp_path: Path) -> None:
    output = LabelledOutput(tmp_path / "out", scenes=4, variations=40)
    into = made(output, tmp_path / "set", Format.PARQUET, 2**29, validation=0.0)
    file = pq.ParquetFile(into / "data" / "train-000000.parquet")
    rows = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
    assert len(rows) > 1
    assert max(rows) == GROUP_ROWS

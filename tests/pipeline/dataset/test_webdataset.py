"""The tars of a data set, by the readers that people have."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset
from datasets import load_dataset
from PIL import Image

from pipeline.dataset.choices import Choices, Format, Scenes
from pipeline.dataset.making import make_dataset
from tests.support.labelled_output import LabelledOutput, as_asked


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> LabelledOutput:
    """Ten scenes with two words; the second picture of each shows its first concept twice: drawn beside itself."""

    def found(scene: int, number: int, asked: Sequence[int]) -> list[int]:
        return [2, 0] if number == 1 else as_asked(scene, number, asked)

    return LabelledOutput(tmp_path_factory.mktemp("made") / "out", scenes=10, found=found, placed=True)


def made(output: LabelledOutput, into: Path, **options: Any) -> Path:
    list(make_dataset(output.storage, Choices(Format.WEBDATASET, **options), str(into)))
    return into


def test_samples_of_the_same_members_with_ids_that_mean_the_same(output: LabelledOutput, tmp_path: Path) -> None:
    into = made(output, tmp_path / "set", validation=0.0)
    tars = [str(file) for file in sorted((into / "train").glob("*.tar"))]
    samples = list(webdataset.WebDataset(tars, shardshuffle=False, empty_check=False).decode("pil"))
    assert len(samples) == 10 + 9 * 3
    members = {"png", "txt", "mask.png", "instance.png", "json"}
    assert all({name for name in sample if not name.startswith("__")} == members for sample in samples)
    for sample in samples:
        told = sample["json"]
        classes, ids = (np.asarray(Image.open(io.BytesIO(raw(into, sample, name)))) for name in MASKS)
        assert {classes.dtype, ids.dtype} == {np.dtype(np.uint8)}
        assert told["key"] == sample["__key__"]
        for thing, annotation in zip(told["objects"], told["annotations"], strict=True):
            assert (ids == thing["id"]).sum() == thing["area"]
            assert set(classes[ids == thing["id"]]) == {thing["category"] + 1} == {annotation["category_id"]}
            assert thing["name"] == ("cat", "dog")[thing["concept"]]
        assert isinstance(told["seed"], str) is told["synthetic"]
    doubles = [sample["json"]["objects"] for sample in samples if sample["__key__"].endswith("-0001")]
    assert all([thing["id"] for thing in things] == [1, 2] for things in doubles)


MASKS = ("mask.png", "instance.png")


def raw(into: Path, sample: dict[str, Any], member: str) -> bytes:
    with tarfile.open(sample["__url__"]) as tar:
        found = tar.extractfile(f"{sample['__key__']}.{member}")
        assert found is not None
        return found.read()


@pytest.mark.parametrize("scenes", [Scenes.INCLUDE, Scenes.ONLY])
def test_datasets_loads_the_folder_as_it_is(output: LabelledOutput, tmp_path: Path, scenes: Scenes) -> None:
    into = made(output, tmp_path / "set", validation=0.3, scenes=scenes)
    loaded = load_dataset(str(into), cache_dir=str(tmp_path / "cache"))
    assert set(loaded) == {"train", "validation"}
    of_scenes = {split: {row["json"]["scene_id"] for row in loaded[split]} for split in loaded}
    assert not of_scenes["train"] & of_scenes["validation"]
    first = loaded["train"][0]
    assert first["mask.png"].mode == "L"
    assert first["json"]["objects"][0]["name"] == "cat"
    streamed = load_dataset(str(into), streaming=True, split="train")
    assert [row["__key__"] for row in streamed] == loaded["train"]["__key__"]


def test_classes_of_single_pictures_stand_in_files_of_their_own(output: LabelledOutput, tmp_path: Path) -> None:
    into = made(output, tmp_path / "set", validation=0.0, singles=True)
    tars = [str(file) for file in (into / "train").glob("*.tar")]
    pairs = list(webdataset.WebDataset(tars, shardshuffle=False).decode("pil").to_tuple("png", "cls"))
    assert {label for _, label in pairs} == {0}
    info = json.loads((into / "_info.json").read_text())["splits"]["train"]
    assert (info["num_samples"], info["shard_lengths"]) == (len(pairs), [len(pairs)])
    assert all((into / name).is_file() for name in info["filenames"])


def test_each_readers_index_names_what_is_there(output: LabelledOutput, tmp_path: Path) -> None:
    into = made(output, tmp_path / "set", validation=0.3)
    for split, short in (("train", "train"), ("validation", "val")):
        wids = json.loads((into / split / "index.json").read_text())
        assert all((into / split / shard["url"]).stat().st_size == shard["filesize"] for shard in wids["shardlist"])
        index = json.loads((into / f"{short}-index.json").read_text())
        assert (index["version"], index["split"], index["annotated_category_ids"]) == (1, short, [1, 2])
        assert [(into / name).is_file() for name in index["shards"]] == [True]
        assert index["num_samples"] == sum(shard["nsamples"] for shard in wids["shardlist"])
    made(output, tmp_path / "one", validation=0.0)
    assert not (tmp_path / "one" / "val-index.json").exists()

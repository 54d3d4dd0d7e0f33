"""YOLO's folders: lines that give the masks back, and what they lose."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pycocotools import mask as coco

from pipeline.dataset.choices import Choices, Format
from pipeline.dataset.making import make_dataset
from tests.support.labelled_output import LabelledOutput
from tests.support.sample_output import SIDE, half_masks


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> LabelledOutput:
    return LabelledOutput(tmp_path_factory.mktemp("made") / "out", scenes=8)


def made(output: LabelledOutput, into: Path, **options: Any) -> list[str]:
    return list(make_dataset(output.storage, Choices(Format.YOLO, **options), str(into), part_bytes=500))


def test_every_picture_has_its_lines(output: LabelledOutput, tmp_path: Path) -> None:
    lines = made(output, tmp_path, validation=0.4)
    told = yaml.safe_load((tmp_path / "data.yaml").read_text())
    assert told == {"train": "train/images", "val": "valid/images", "nc": 2, "names": ["cat", "dog"]}
    seen = 0
    for split in ("train", "valid"):
        pictures = {file.stem for file in (tmp_path / split / "images").iterdir()}
        assert pictures == {file.stem for file in (tmp_path / split / "labels").iterdir()}
        for file in (tmp_path / split / "labels").iterdir():
            for line in file.read_text().splitlines():
                number, *places = line.split(" ")
                ring = np.array(places, dtype=float).reshape(-1, 2) * SIDE
                (runs,) = coco.frPyObjects([ring.ravel().tolist()], SIDE, SIDE)
                assert (coco.decode(runs) == half_masks()[int(number)]).all()
                seen += 1
    with (tmp_path / "polygon_iou.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert len(rows) == seen
    assert {row["polygon_iou"] for row in rows} == {"1.0000"}
    assert f"polygons: IoU 100.0 % with their masks, mean of {seen}; each one's stands in polygon_iou.csv" in lines


def test_the_same_command_reads_what_was_measured(output: LabelledOutput, tmp_path: Path) -> None:
    first = made(output, tmp_path, validation=0.4)
    table = (tmp_path / "polygon_iou.csv").read_bytes()
    again = made(output, tmp_path, validation=0.4)
    assert "(0 parts written, " in again[-1]
    assert again[-2] == first[-2]
    assert (tmp_path / "polygon_iou.csv").read_bytes() == table


def test_without_validation_the_training_pictures_stand_in_for_it(output: LabelledOutput, tmp_path: Path) -> None:
    """ultralytics refuses a data.yaml without `val`; whoever reads ours is told."""
    lines = made(output, tmp_path, validation=0.0)
    text = (tmp_path / "data.yaml").read_text()
    told = yaml.safe_load(text)
    assert told["val"] == told["train"] == "train/images"
    assert text.startswith("# no picture is held out: val are the training pictures")
    assert any(line.startswith("data.yaml: no picture is held out: val are the training pictures") for line in lines)
    assert not (tmp_path / "valid").exists()
    assert not any("held out" in line for line in made(output, tmp_path / "other", validation=0.4))


def test_where_every_picture_is_held_out_they_stand_in_for_training(output: LabelledOutput, tmp_path: Path) -> None:
    lines = made(output, tmp_path, validation=0.999)
    told = yaml.safe_load((tmp_path / "data.yaml").read_text())
    assert told["val"] == told["train"] == "valid/images"
    assert any(line.startswith("data.yaml: every picture is held out") for line in lines)

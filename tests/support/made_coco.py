"""A data set of a labelled output as COCO, and what is in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pycocotools.coco import COCO

from pipeline.dataset.choices import Choices, Format
from pipeline.dataset.making import make_dataset
from pipeline.storage.folder import Storage
from tests.support.labelled_output import LabelledOutput


def made(output: LabelledOutput, into: Path, part_bytes: int = 2**29, **options: Any) -> list[str]:
    storage = Storage(output.storage.url)
    return list(make_dataset(storage, Choices(Format.COCO, **options), str(into), part_bytes))


def coco(into: Path, split: str = "train") -> COCO:
    return COCO(into / split / "_annotations.coco.json")


def keys(into: Path, *splits: str) -> list[str]:
    return [image["key"] for split in splits or ("train",) for image in coco(into, split).imgs.values()]

"""What every format does: it writes parts, a picture at a time, and at the end what tells of all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from pipeline.dataset.book import Book
from pipeline.dataset.choices import Choices, Format
from pipeline.dataset.classes import Classes
from pipeline.dataset.counts import Counts
from pipeline.dataset.example import Example
from pipeline.dataset.parts import Part
from pipeline.storage.folder import Storage


class PartFile(Protocol):
    """A part that is being written."""

    @property
    def files(self) -> dict[str, int]:
        """Name -> size in bytes, once it is closed."""

    def add(self, example: Example) -> list[dict[str, Any]]:
        """Writes a picture; returns what there is to tell of each of its things beside `Example.facts`: a number with a
        fraction is also summed up."""


class FormatWriter(Protocol):
    """A format. stamp: what decides the bytes of its parts beside the pictures."""

    stamp: str

    def planned(self, part: Part, extension: str) -> list[str]:
        """Names of the files that a part may write."""

    def open(self, part: Part) -> AbstractContextManager[PartFile]:
        """A part to write to."""

    def finish(self, book: Book) -> None:
        """Writes what tells of all parts."""

    def lines(self, counts: Mapping[str, Counts]) -> Iterator[str]:
        """What there is to say beside the counts."""

    def card(self, book: Book) -> dict[str, Any]:
        """What stands in the front of README.md for Hugging Face datasets; under `how` the lines that load it, under
        `tables` patterns of the Parquet files that tell of its pictures, and under `files` of those that hold them."""


def writer_of(choices: Choices, into: Storage, classes: Classes) -> FormatWriter:
    """The writer of a format."""
    from pipeline.dataset.formats.coco import Coco
    from pipeline.dataset.formats.imagefolder import ImageFolder
    from pipeline.dataset.formats.parquet import Parquet
    from pipeline.dataset.formats.webdataset import WebDataset
    from pipeline.dataset.formats.yolo import Yolo

    match choices.format:
        case Format.COCO:
            return Coco(into, classes)
        case Format.WEBDATASET:
            return WebDataset(into, classes, choices)
        case Format.IMAGEFOLDER:
            return ImageFolder(into, classes)
        case Format.PARQUET:
            return Parquet(into, classes)
        case Format.YOLO:
            return Yolo(into, classes)

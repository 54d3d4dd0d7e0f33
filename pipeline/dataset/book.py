"""All parts of a data set as what is written last reads them: the index of a format, tables, the card."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.dataset.choices import Choices
from pipeline.dataset.classes import Classes
from pipeline.dataset.parts import Record, Records
from pipeline.dataset.source import DatasetSource
from pipeline.storage.folder import Storage


@dataclass(frozen=True)
class Book:
    """parts: split -> how many it has; a split without parts is not there. extension: of all pictures."""

    into: Storage
    source: DatasetSource
    choices: Choices
    classes: Classes
    kept: Records
    parts: dict[str, int]
    extension: str

    def names(self, split: str) -> list[str]:
        """Of the split's parts, in their order."""
        return [f"{split}-{number:06d}" for number in range(self.parts.get(split, 0))]

    def records(self, split: str) -> Iterator[Record]:
        """What each part holds, in their order."""
        for name in self.names(split):
            record = self.kept.read(name)
            assert record is not None, f"{name} was written a moment ago"
            yield record

    def facts(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        """(number of its part, what is told of a picture), in their order, a part in memory."""
        for number, name in enumerate(self.names(split)):
            for told in self.kept.facts(name):
                yield number, told

"""What a data set is to hold, as `unscene dataset` was asked for it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pipeline.dataset.classes import ClassMap
from schemas.errors import CommandError

TRAIN, VALIDATION = "train", "validation"


class Format(StrEnum):
    """The formats, by the names that `--to` takes."""

    COCO = "coco"
    WEBDATASET = "webdataset"
    IMAGEFOLDER = "imagefolder"
    PARQUET = "parquet"
    YOLO = "yolo"


class Scenes(StrEnum):
    """The pictures of the source among the new ones: with them, nothing but them, or none of them."""

    INCLUDE = "include"
    ONLY = "only"
    NONE = "none"


@dataclass(frozen=True)
class Choices:
    """format: how it is written. scenes: whether the source's own pictures are in. unkept: whether pictures that the
    scores do not keep are in. singles: only pictures in which one concept was asked for, and scenes with one.
    validation: share of the scenes that are held out, 0 to 1. ratio: new pictures to each real one, at most. cap:
    pictures of a class, at most. seed: of every lot that is drawn. classes: what words become. crowds: whether what is
    marked iscrowd in the source is an object like any other.

    Raises CommandError where two of them do not go together.
    """

    format: Format
    scenes: Scenes = Scenes.INCLUDE
    unkept: bool = False
    singles: bool = False
    validation: float = 0.1
    ratio: float | None = None
    cap: int | None = None
    seed: int = 0
    classes: ClassMap = field(default_factory=ClassMap)
    crowds: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.validation < 1:
            raise CommandError(
                f"--validation {self.validation:g}: a share of the scenes is asked for, such as 0.1, and less than all"
            )
        if self.ratio is not None and self.scenes is not Scenes.INCLUDE:
            raise CommandError(
                f"--ratio {self.ratio:g}: it counts new pictures to each real one, and --scenes {self.scenes} has "
                "only one kind; leave one of the two out"
            )
        if self.ratio is not None and not (self.ratio >= 0 and math.isfinite(self.ratio)):
            raise CommandError(
                f"--ratio {self.ratio:g}: it is a number from 0 on; name 4 for four new to each real, or leave it out "
                "for all of them"
            )

    @property
    def real(self) -> bool:
        """Whether the source's own pictures are in."""
        return self.scenes is not Scenes.NONE

    @property
    def new(self) -> bool:
        """Whether new pictures are in."""
        return self.scenes is not Scenes.ONLY

    def options(self) -> dict[str, Any]:
        """Name of the option -> value, of all that decide what the data set holds."""
        return {
            "--to": str(self.format),
            "--scenes": str(self.scenes),
            "--unkept": self.unkept,
            "--singles": self.singles,
            "--validation": self.validation,
            "--ratio": self.ratio,
            "--cap": self.cap,
            "--seed": self.seed,
            "--classes": self.classes.classes or None,
            "--crowds": self.crowds or None,
        }

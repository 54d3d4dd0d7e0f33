"""What is measured of a picture, and how many pictures of a scene become the scene's one number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]
"""A row of the `scores` table."""


@dataclass(frozen=True)
class Measure:
    """of: a picture's value, or None where the measure does not apply to the picture.

    share: the mean is a share of pictures; otherwise a cosine. better: whether more is better, for a reader.
    """

    name: str
    title: str
    of: Callable[[Row], float | None]
    share: bool
    better: str


@dataclass(frozen=True)
class SceneMean:
    """A scene's mean of a measure, and the number of pictures behind it."""

    value: float
    pictures: int


def combined(row: Row) -> bool:
    """Whether the picture was asked for two concepts or more."""
    return len(row["concepts"]) >= 2


def identity(row: Row) -> float | None:
    value = row["identity_similarity"]
    return None if value is None else float(value)


def prompt(row: Row) -> float | None:
    value = row["prompt_similarity"]
    return None if value is None else float(value)


def identity_of_combinations(row: Row) -> float | None:
    return identity(row) if combined(row) else None


def complete(row: Row) -> float | None:
    """1 when every concept asked for is there exactly once."""
    return float(row["complete"]) if combined(row) else None


def missing(row: Row) -> float | None:
    """1 when a concept asked for is not there."""
    return float(any(row["found"][index] == 0 for index in row["concepts"])) if combined(row) else None


def double(row: Row) -> float | None:
    """1 when a concept asked for is there more than once."""
    return float(any(row["found"][index] > 1 for index in row["concepts"])) if combined(row) else None


def intruder(row: Row) -> float | None:
    """1 when a concept of the scene is there that was not asked for; None when all of them were."""
    others = set(range(len(row["found"]))) - set(row["concepts"])
    return float(any(row["found"][index] > 0 for index in others)) if others else None


MEASURES = (
    Measure("prompt", "prompt similarity", prompt, False, "higher"),
    Measure("identity", "identity similarity", identity, False, "higher"),
    Measure("identity_combined", "identity, 2+ concepts", identity_of_combinations, False, "higher"),
    Measure("complete", "complete, 2+ concepts", complete, True, "higher"),
    Measure("missing", "one missing, 2+ concepts", missing, True, "lower"),
    Measure("double", "one double, 2+ concepts", double, True, "lower"),
    Measure("intruder", "one not asked for", intruder, True, "lower"),
)


def scene_means(rows: Sequence[Row], measure: Measure) -> dict[str, SceneMean]:
    """Scene -> its mean over the pictures that the measure applies to; scenes without such a picture are left out."""
    values: dict[str, list[float]] = {}
    for row in rows:
        value = measure.of(row)
        if value is not None:
            values.setdefault(row["scene_id"], []).append(value)
    return {scene: SceneMean(sum(found) / len(found), len(found)) for scene, found in values.items()}

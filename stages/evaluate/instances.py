"""The masks of a picture that show a concept, one by one. What is counted, labelled and given an id is told from one
list, so that none of them says other than the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stages.masks.shapes import Mask


@dataclass(frozen=True)
class Instance:
    """concept: its index in the scene. mask: bool [h, w], with a pixel at least, none of which is another instance's.
    likeness: cosine with the concept; None: it stands in the real picture that was drawn into, by the scene's own
    mask."""

    concept: int
    mask: Mask
    likeness: float | None


def in_order(instances: Iterable[Instance]) -> list[Instance]:
    """As their ids count: by concept. Of one concept they stay as they were found, and not by likeness: two that are
    nearly as like it would change places with the batch that they were judged in."""
    return sorted(instances, key=lambda one: one.concept)


def counts(instances: Sequence[Instance], concepts: int) -> list[int]:
    """How many show each of so many concepts, by index."""
    return [sum(one.concept == index for one in instances) for index in range(concepts)]


def parts(instances: Iterable[Instance]) -> dict[int, Mask]:
    """Concept -> where it is, bool [h, w], of those that are there."""
    found: dict[int, Mask] = {}
    for one in instances:
        found[one.concept] = found[one.concept] | one.mask if one.concept in found else one.mask
    return found


def likeness(instances: Iterable[Instance]) -> dict[int, float]:
    """Concept -> the highest cosine of what shows it, of those that were drawn."""
    found: dict[int, float] = {}
    for one in instances:
        if one.likeness is not None:
            found[one.concept] = max(one.likeness, found.get(one.concept, -1.0))
    return found

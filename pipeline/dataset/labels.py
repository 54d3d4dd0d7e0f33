"""The things of a picture: one mask each, with its box and its class."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.dataset.picking import COVERED, LACKING, SEVERAL, Pick
from pipeline.shards.reader import Row
from schemas.masks import decode_mask
from stages.masks.shapes import Mask, bounding_box
from stages.pictures import FORMATS

WIDE = 255
"""With more classes than this a mask of them has 16 bits."""


class Unlabelled(Exception):
    """A picture has no exact labels; its text is the reason, in a few words to count by."""


@dataclass(frozen=True)
class Thing:
    """id: from 1, in its picture. concept: its index in the scene; class_: its class's number. mask: bool [h, w].
    whole: its pixels before a region was drawn over it, which say what is on top."""

    id: int
    concept: int
    class_: int
    mask: Mask
    whole: int

    @property
    def box(self) -> tuple[int, int, int, int]:
        """[x, y, width, height], in pixels."""
        return bounding_box(self.mask)

    @property
    def area(self) -> int:
        """In pixels."""
        return int(self.mask.sum())


def things_of_scene(pick: Pick, concepts: Sequence[Row]) -> list[Thing]:
    """Of a real picture: the concepts with a class, in their order. concepts: rows with `mask`. Raises Unlabelled."""
    masks = own_masks(pick, concepts)
    if any(not mask.any() for mask in masks.values()):
        raise Unlabelled(LACKING)
    return _numbered(pick, [(index, masks[index], masks[index]) for index in sorted(masks)])


def own_masks(pick: Pick, concepts: Sequence[Row]) -> dict[int, Mask]:
    """Index -> mask [h, w] in the real picture, of the concepts with a class. concepts: rows with `mask`."""
    return {int(row["index"]): decode_mask(row["mask"]) for row in concepts if int(row["index"]) in pick.classes}


def things_found(
    pick: Pick, score_mask: bytes, region: Mask | None = None, own: Mapping[int, Mask] | None = None
) -> list[Thing]:
    """Of a new picture: what its score mask shows of the concepts with a class, each copy by itself. What stands in the
    real picture beside the region is labelled as it is there, overlaps and all.

    region: bool [h, w], where it was drawn into the scene's own picture; None: all of it is new. own: as `own_masks`
    tells; with the region, needed where `pick.standing` names any. Raises Unlabelled where what was found has no
    pixels, or what stands there was not found.
    """
    shown = np.asarray(Image.open(io.BytesIO(score_mask), formats=FORMATS))
    if pick.instances is None:
        found = [(index, mask, mask) for index, mask in _found_earlier(pick, shown, region)]
    elif not pick.standing:
        found = [(index, shown == number, shown == number) for number, index in pick.instances]
    else:
        assert region is not None, f"{pick.key} was drawn into a real picture"
        assert own is not None, f"what stands in {pick.key} has masks of its own"
        if any(index not in pick.found and (mask & ~region).any() for index, mask in own.items()):
            raise Unlabelled(COVERED)
        found = [
            (index, own[index] & ~region, own[index])
            if number in pick.standing
            else (index, shown == number, shown == number)
            for number, index in pick.instances
        ]
    if not all(mask.any() for _, mask, _ in found):
        raise Unlabelled(LACKING)
    return _numbered(pick, found)


def _numbered(pick: Pick, found: Sequence[tuple[int, Mask, Mask]]) -> list[Thing]:
    """Of (concept, mask, mask before a region was drawn over it)."""
    return [
        Thing(number, index, pick.classes[index], mask, int(whole.sum()))
        for number, (index, mask, whole) in enumerate(found, start=1)
    ]


def _found_earlier(pick: Pick, shown: NDArray[np.uint8], region: Mask | None) -> list[tuple[int, Mask]]:
    """(concept, mask) of what an older Unscene found, whose score mask has 0 for nothing and i + 1 for concept i.

    A concept that was found twice is told apart by the region: one was drawn, and one stands beside it. Elsewhere two
    masks may be two things or one in pieces, and a piece may touch another thing. Raises Unlabelled there.
    """
    found = [(index, shown == index + 1, count) for index, count in pick.found.items()]
    if not all(mask.any() for _, mask, _ in found):
        raise Unlabelled(LACKING)
    return [
        (index, part)
        for index, mask, count in found
        for part in ([mask] if count == 1 else _parted(mask, count, region))
    ]


def _parted(mask: Mask, count: int, region: Mask | None) -> list[Mask]:
    parts = [] if region is None or count != 2 else [mask & ~region, mask & region]
    if not parts or not all(part.any() for part in parts):
        raise Unlabelled(SEVERAL)
    return parts


def semantic(things: Sequence[Thing], classes: int) -> bytes:
    """PNG [h, w] of class numbers, 0 nothing; of things that overlap the smaller is on top. classes: how many there
    are, which decides between 8 and 16 bits."""
    return _painted([(thing, thing.class_) for thing in things], classes)


def instance(things: Sequence[Thing]) -> bytes:
    """PNG [h, w] of ids, 0 nothing; of things that overlap the smaller is on top."""
    return _painted([(thing, thing.id) for thing in things], len(things))


def _painted(values: Sequence[tuple[Thing, int]], most: int) -> bytes:
    kind = np.uint8 if most <= WIDE else np.uint16
    canvas: NDArray[np.uint8 | np.uint16] = np.zeros(values[0][0].mask.shape, kind)
    for thing, value in sorted(values, key=lambda pair: -pair[0].whole):
        canvas[thing.mask] = value
    buffer = io.BytesIO()
    Image.fromarray(canvas).save(buffer, "PNG")  # mode L, or I;16
    return buffer.getvalue()

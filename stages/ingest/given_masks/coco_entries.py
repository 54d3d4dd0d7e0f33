"""What a COCO instances JSON says, image by image, after it was checked: light enough for driver and workers alike."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from stages.ingest.given_masks.coco_shapes import Segmentation, runs_of


@dataclass(frozen=True, slots=True)
class Annotation:
    """One annotation. id: as text; `#7` for the seventh of the file where it has none. word: of its category.

    dropped: why it is not used, though the scene goes on. broken: one sentence on what is wrong with it; its scene
    fails. crowd: whether it is marked iscrowd.
    """

    id: str
    word: str | None
    segmentation: Segmentation | None
    dropped: str | None = None
    broken: str | None = None
    crowd: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One image. id: as text. file_name: as in the JSON, or else its `coco_url`; "" where it has neither.
    size: (width, height) that the annotations refer to, where it is stated."""

    id: str
    file_name: str
    size: tuple[int, int] | None
    annotations: tuple[Annotation, ...]

    def digest(self) -> str:
        """SHA-256, as hex, over what decides its masks and words: neither ids nor how the JSON writes them."""
        found = hashlib.sha256(repr(self.size).encode())
        used = [one for one in self.annotations if one.dropped is None]
        for one in used:
            shape = one.segmentation
            if shape is None:
                found.update(b"broken")
                continue
            arrays = [runs_of(shape)] if isinstance(shape, dict) else shape
            sizes = [*(shape["size"] if isinstance(shape, dict) else ()), *(array.size for array in arrays)]
            found.update(ascii((one.word, type(shape).__name__, sizes)).encode())
            for array in arrays:
                found.update(array.tobytes())
        if self.annotations and not used:
            found.update(b"none is used")
        return found.hexdigest()


@dataclass(frozen=True, slots=True)
class CocoFile:
    """entries: by image id. orphans: (annotation id, why it belongs to no image). remarks: on the file as a whole, a
    sentence each."""

    url: str
    entries: dict[str, Entry]
    orphans: list[tuple[str, str]]
    remarks: list[str]


def broken(annotation: str, fault: str, url: str) -> str:
    """The sentence for an annotation that cannot be drawn."""
    return f"COCO annotation {annotation} cannot be drawn: {fault}; correct it in {url}, or take it out"


def counted(count: int, one: str, many: str = "") -> str:
    """`1 picture`, `2 pictures`."""
    return f"{count} {one if count == 1 else many or one + 's'}"

"""Near-duplicates and minimal edits by the correlation of pixels, and flat pictures by their contrast.

No judge is asked: a threshold on correlation means the same for every model, and for photographs and drawings alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 32
"""Pictures are compared at this size. Unit: pixels."""
LUMA = np.array([0.299, 0.587, 0.114])
"""Brightness of red, green and blue (ITU-R BT.601)."""
SOURCE = "source"

Thumbnail = NDArray[np.float32]
"""[SIDE, SIDE, 3], each channel's mean removed, length 1 in all; zeros for a picture of one colour."""


def thumbnail(picture: NDArray[np.uint8]) -> Thumbnail:
    """Of an RGB picture [h, w, 3]."""
    small = np.asarray(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float32)
    small = small - small.mean(axis=(0, 1))
    length = float(np.linalg.norm(small))
    return small / length if length > 1e-3 else np.zeros_like(small)


def correlation(one: Thumbnail, other: Thumbnail) -> float:
    """-1 to 1: the higher one of the picture and its mirror image, as training shows both."""
    return float(max((one * other).sum(), (one[:, ::-1] * other).sum()))


def find_copies(
    source: Thumbnail,
    pictures: Sequence[tuple[str, str, Thumbnail]],
    most: float | None,
    sources: Mapping[str, Thumbnail] | None = None,
) -> list[tuple[float, str | None]]:
    """For each of a scene's pictures (key, prompt, thumbnail): its highest correlation with the source picture and
    with earlier ones of the same prompt, and which of them it copies, if that is more than `most`.
    sources: key -> what stands for the source picture beside that picture, where that is not all of it.

    A copy is no original: what comes after it is not compared with it.
    """
    originals: dict[str, list[tuple[str, Thumbnail]]] = {}
    found: list[tuple[float, str | None]] = []
    for key, prompt, small in pictures:
        others = [(SOURCE, (sources or {}).get(key, source)), *originals.get(prompt, [])]
        value, name = max(((correlation(small, other), name) for name, other in others), key=lambda pair: pair[0])
        copied = most is not None and value > most
        found.append((value, name if copied else None))
        if not copied:
            originals.setdefault(prompt, []).append((key, small))
    return found


def contrast(picture: NDArray[np.uint8]) -> float:
    """Standard deviation of brightness over an RGB picture [h, w, 3], 0 to 0.5."""
    return float((picture @ LUMA).std() / 255)

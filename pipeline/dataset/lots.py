"""What is drawn by lot: from a seed and a name alone, so that company, order and time change nothing.

A scene is on the same side of the split in a job that is half done, in one that has grown, and in another job.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable

from pipeline.dataset.choices import TRAIN, VALIDATION


def lot(seed: int, *names: str) -> float:
    """A number in [0, 1) that is the name's own."""
    digest = hashlib.sha256("\n".join([str(seed), *names]).encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


def side_of(scene_id: str, validation: float, seed: int) -> str:
    """The split that a scene and all its pictures are in."""
    return VALIDATION if lot(seed, "split", scene_id) < validation else TRAIN


def share_of(scene_id: str, ratio: float, seed: int) -> int:
    """How many new pictures a scene may have at `ratio` to its real one: of 2.5, half the scenes have 3."""
    return int(ratio) + (lot(seed, "ratio", scene_id) < ratio % 1)


class Cap:
    """At most so many pictures of each class: those with the smallest lots, whatever the order in which they come.

    A picture of several classes is in if it is among those of each. Memory: as many numbers a class as it may have.
    """

    def __init__(self, most: int, seed: int) -> None:
        self._most, self._seed = most, seed
        self._smallest: dict[int, list[float]] = {}
        self._crowded: set[int] = set()

    def see(self, key: str, classes: Iterable[int]) -> None:
        """Counts a picture. All are seen before any is asked about."""
        own = lot(self._seed, "cap", key)
        for number in classes:
            heap = self._smallest.setdefault(number, [])
            if len(heap) < self._most:
                heapq.heappush(heap, -own)
            else:
                self._crowded.add(number)
                heapq.heappushpop(heap, -own)

    def admits(self, key: str, classes: Iterable[int]) -> bool:
        """Whether the picture is in."""
        own = lot(self._seed, "cap", key)
        return all(number not in self._crowded or own <= -self._smallest[number][0] for number in classes)

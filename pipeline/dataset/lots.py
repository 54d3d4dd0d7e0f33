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


Turn = tuple[float, float]
"""When it is a picture's turn to be in a data set that has room for so many: the smaller, the sooner."""


class Cap:
    """At most so many pictures of each class: those whose turn comes first, whatever the order in which they come.

    A picture of several classes is in if it is among those of each. Memory: as many turns a class as it may have.
    by_scene: whether a scene's pictures come one after the other, its real one first, so that new ones have the real
    one that `--ratio` counts them by.
    """

    def __init__(self, most: int, seed: int, by_scene: bool) -> None:
        self._most, self._seed, self._by_scene = most, seed, by_scene
        self._smallest: dict[int, list[Turn]] = {}
        self._crowded: set[int] = set()

    def see(self, key: str, scene_id: str, classes: Iterable[int]) -> None:
        """Counts a picture; the key of a real one is its scene's. All are seen before any is asked about."""
        major, minor = self._turn(key, scene_id)
        for number in classes:
            heap = self._smallest.setdefault(number, [])
            if len(heap) < self._most:
                heapq.heappush(heap, (-major, -minor))
            else:
                self._crowded.add(number)
                heapq.heappushpop(heap, (-major, -minor))

    def admits(self, key: str, scene_id: str, classes: Iterable[int]) -> bool:
        """Whether the picture is in."""
        major, minor = self._turn(key, scene_id)
        return all(number not in self._crowded or (-major, -minor) >= self._smallest[number][0] for number in classes)

    def _turn(self, key: str, scene_id: str) -> Turn:
        own = lot(self._seed, "cap", key)
        if not self._by_scene:
            return own, 0.0
        return lot(self._seed, "cap", scene_id), -1.0 if key == scene_id else own

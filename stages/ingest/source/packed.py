"""Millions of small records in order, in the memory of a few: they lie compressed in blocks, and are unpacked a block
at a time."""

from __future__ import annotations

import heapq
import json
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")

_BLOCK = 4096
_LEVEL = 1
"""Of zlib: names in order repeat most of the one before."""


class Packed(Generic[Item]):
    """Records in the order of their first field, whatever order they come in; in memory each takes about half of what
    it says.

    pack: a record to what JSON holds, the text that it is ordered by first. unpack: the same back.
    """

    def __init__(
        self, pack: Callable[[Item], tuple[Any, ...]], unpack: Callable[[list[Any]], Item], items: Iterable[Item] = ()
    ) -> None:
        self._pack, self._unpack = pack, unpack
        self._blocks: list[tuple[str, int, bytes]] = []
        self._open: list[tuple[Any, ...]] = []
        self._packed = 0
        for item in items:
            self.add(item)

    def add(self, item: Item) -> None:
        self._open.append(self._pack(item))
        if len(self._open) == _BLOCK:
            self._close()

    def __len__(self) -> int:
        return self._packed + len(self._open)

    def __iter__(self) -> Iterator[Item]:
        self._close()
        yield from map(self._unpack, _merged(deque(sorted(self._blocks, key=_first))))

    def __getitem__(self, place: int) -> Item:
        """Goes there from the first."""
        for item in islice(self, place, None):
            return item
        raise IndexError(place)

    def emptied(self) -> Iterator[Item]:
        """The same, letting go of each block when it is begun."""
        self._close()
        blocks, self._blocks, self._packed = deque(sorted(self._blocks, key=_first)), [], 0
        yield from map(self._unpack, _merged(blocks))

    def _close(self) -> None:
        if self._open:
            self._open.sort(key=lambda row: str(row[0]))
            data = json.dumps(self._open, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
            self._blocks.append((self._open[0][0], len(self._blocks), zlib.compress(data, _LEVEL)))
            self._packed += len(self._open)
            self._open = []


def _first(block: tuple[str, int, bytes]) -> tuple[str, int]:
    return block[:2]


def _merged(blocks: deque[tuple[str, int, bytes]]) -> Iterator[list[Any]]:
    """Rows of all blocks in order. A block is begun when its first row comes, so that of blocks which hardly overlap,
    as those of a listing, few are open at a time."""
    heap: list[tuple[str, int, list[Any], Iterator[list[Any]]]] = []
    while blocks or heap:
        while blocks and (not heap or blocks[0][:2] <= heap[0][:2]):
            _, number, data = blocks.popleft()
            rows = iter(json.loads(zlib.decompress(data)))
            row = next(rows)
            heapq.heappush(heap, (row[0], number, row, rows))
        _, number, row, rows = heap[0]
        yield row
        following = next(rows, None)
        if following is None:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, (following[0], number, following, rows))

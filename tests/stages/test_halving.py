"""A batch that raises, split until the item that cannot be done is alone."""

from __future__ import annotations

import traceback
import weakref
from collections.abc import Iterator, Sequence

import pytest
import torch

from stages.halving import halving


def test_a_batch_that_raises_is_halved_to_the_item_that_cannot_be_done() -> None:
    sizes: list[int] = []

    def work(items: Sequence[int]) -> list[int]:
        sizes.append(len(items))
        if 5 in items or len(items) > 4:
            raise MemoryError(f"{len(items)} at once")
        return [10 * item for item in items]

    found = dict(halving(work, list(range(8))))
    assert list(found) == list(range(8))
    assert str(found.pop(5)) == "1 at once"
    assert list(found.values()) == [0, 10, 20, 30, 40, 60, 70]
    assert sizes == [8, 4, 4, 2, 1, 1, 2]
    assert list(halving(work, [])) == []


def test_a_half_comes_out_before_the_next_begins_and_can_take_items_out_of_it() -> None:
    """Pictures of a scene that has failed are not drawn: items here are (scene, picture)."""
    tried: list[list[tuple[str, int]]] = []
    broken: set[str] = set()

    def work(items: Sequence[tuple[str, int]]) -> list[str]:
        tried.append(list(items))
        if any(scene == "bad" for scene, _ in items):
            raise ValueError("weights of another base")
        return [f"{scene}{number}" for scene, number in items]

    items = [("a", 0), ("bad", 0), ("bad", 1), ("bad", 2), ("a", 1), ("a", 2)]
    found = []
    for item, result in halving(work, items, lambda item: item[0] not in broken):
        if isinstance(result, Exception):
            broken.add(item[0])
        found.append(item)
    assert found == [("a", 0), ("bad", 0), ("a", 1), ("a", 2)]
    assert tried == [items, items[:3], items[:1], items[1:3], items[1:2], items[4:]]


def test_results_are_taken_up_as_they_are_made_and_to_the_end() -> None:
    """The extract stage packs a scene when it is asked for, and leaves its checkpoint until the last one is out."""
    story: list[str] = []

    def work(items: Sequence[int]) -> Iterator[int]:
        if len(items) > 2:
            raise MemoryError

        def results() -> Iterator[int]:
            for item in items:
                story.append(f"make {item}")
                yield item
            story.append("end")

        return results()

    for item, _ in halving(work, [1, 2, 3, 4]):
        story.append(f"take {item}")
    halves = [[f"make {n}", f"take {n}", f"make {n + 1}", f"take {n + 1}", "end"] for n in (1, 3)]
    assert story == halves[0] + halves[1]


@pytest.mark.parametrize("wrapped", [False, True])
def test_no_error_keeps_the_tensors_of_its_batch(wrapped: bool) -> None:
    alive: list[weakref.ref[torch.Tensor]] = []
    seen: list[int] = []

    def allocate(count: int) -> None:
        tensor = torch.zeros(count, 10)
        alive.append(weakref.ref(tensor))
        raise RuntimeError(f"no room for {tensor.shape}")

    def work(items: Sequence[int]) -> list[int]:
        seen.append(sum(ref() is not None for ref in alive))
        try:
            allocate(len(items))
        except RuntimeError as error:
            if wrapped:
                raise ValueError("it did not fit") from error
            raise
        return []

    found = list(halving(work, [0, 1, 2]))
    assert len(found) == 3
    assert seen == [0] * 5, "a half has the room to itself"
    assert all(ref() is None for ref in alive), "nor does an error that is kept"
    error = found[0][1]
    assert isinstance(error, Exception)
    trace = "".join(traceback.format_exception(error))
    assert "in allocate" in trace, "where it was is still told"

"""A batch that raises is halved, down to the one item that cannot be done: out of memory, most often."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import torch

from stages.transient import behind

Item = TypeVar("Item")
Result = TypeVar("Result")


def everything(item: object) -> bool:
    return True


def halving(
    work: Callable[[Sequence[Item]], Iterable[Result]],
    items: Sequence[Item],
    wanted: Callable[[Item], bool] = everything,
) -> Iterator[tuple[Item, Result | Exception]]:
    """Each item, in order, with what `work` makes of it, or with what it raises for this item alone.

    work: gives one result an item; results of a half come out before the next half begins. What is raised while they
    are taken up, where `work` makes them one by one, is raised here.
    wanted: asked before each try, so that what came out of an earlier half can take items out of a later one; those
    do not come out.
    """
    items = [item for item in items if wanted(item)]
    if not items:
        return
    try:
        results = work(items)
    except Exception as error:
        problem = error
        _forget_locals(problem)
    else:
        yield from zip(items, results, strict=True)
        return
    if len(items) == 1:
        yield items[0], problem
        return
    del problem
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    half = len(items) // 2
    for part in (items[:half], items[half:]):
        yield from halving(work, part, wanted)


def _forget_locals(error: BaseException) -> None:
    """An error's traceback would keep the tensors of the batch alive, for as long as somebody keeps the error."""
    for one in behind(error):
        traceback.clear_frames(one.__traceback__)

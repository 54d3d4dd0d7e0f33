"""A batch that raises is halved, down to the one item that cannot be done: out of memory, most often."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def halving(work: Callable[[Sequence[Item]], Sequence[Result]], items: Sequence[Item]) -> list[Result | Exception]:
    """For each item, in order, what `work` makes of it, or what it raises for this item alone."""
    if not items:
        return []
    try:
        return list(work(items))
    except Exception as error:
        if len(items) == 1:
            return [error]
    gc.collect()  # outside the handler, whose traceback would keep the batch's tensors alive
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    half = len(items) // 2
    return halving(work, items[:half]) + halving(work, items[half:])

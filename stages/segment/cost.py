"""What finding a scene's concepts costs: for `unscene plan`."""

from __future__ import annotations

from collections.abc import Sequence

from stages.models.flops import Call

VIEWS_TO_NAME = 2
"""A concept is seen twice by the judge that names it (`stages/segment/words.py`)."""


def find_calls(look: Sequence[Call], concepts: int, named: float | None) -> tuple[Call, ...]:
    """What one scene without masks of its own asks for. look: to look for things in its picture; named: TFLOP of one
    picture by models.clip, where `segment.vocabulary` names concepts."""
    if named is None:
        return tuple(look)
    return (*look, Call("models.clip, a view of a concept", VIEWS_TO_NAME * concepts, named))

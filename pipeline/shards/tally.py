"""What the rows of a shard come to is in its commit, so that a million scenes are summed up without reading tables:
`pack.py` has it counted, by `concept_counts.py`, `scores.py` and `account.py`, which also sum it up."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from pipeline.ledger.committed import Committed
from pipeline.storage.many import in_order

Found = TypeVar("Found")


def tallied(
    committed: Committed, stage: str, key: str, known: Callable[[Any], Found], read: Callable[[int], Found]
) -> Iterator[tuple[int, Found]]:
    """(shard, what its rows come to), in the order of shards. known: makes it of the tally `key`; read: of a shard's
    table, where the commit has none, as those of an older Unscene."""
    tallies = [(shard, text and json.loads(text).get(key)) for shard, text in committed.tallies(stage)]
    found = in_order(read, [shard for shard, tally in tallies if tally is None])
    for shard, tally in tallies:
        yield shard, next(found) if tally is None else known(tally)

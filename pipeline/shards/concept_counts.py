"""How many handles the scenes of an OUTPUT have: one pass over the committed tables, one column of each."""

from __future__ import annotations

from collections import Counter

from pipeline.shards.reader import UNREADABLE, OutputReader
from pipeline.storage.folder import Storage
from pipeline.storage.many import in_order


def handle_counts(storage: Storage) -> Counter[int]:
    """Number of handles -> how many scenes have so many. A shard that cannot be read yet is left out."""
    reader = OutputReader(storage)
    found: Counter[int] = Counter()
    for counts in in_order(lambda shard: _of_shard(reader, shard), reader.shards("handles")):
        found.update(counts)
    return found


def _of_shard(reader: OutputReader, shard: int) -> list[int]:
    try:
        return [len(rows) for rows in reader.rows("handles", shard, columns=["scene_id"]).values()]
    except UNREADABLE:
        return []

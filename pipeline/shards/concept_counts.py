"""How many handles the scenes of an OUTPUT have, by what the commits tell of them, and which words these started
from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from pipeline.ledger.committed import Committed
from pipeline.shards.reader import UNREADABLE, OutputReader
from pipeline.shards.tally import tallied
from pipeline.stage_kinds import STAGE_OF
from pipeline.storage.folder import Storage
from pipeline.storage.many import in_order
from schemas.templates import plain_word


def handles_tally(rows: Sequence[dict[str, Any]]) -> list[tuple[int, int]]:
    """(number of handles, how many scenes have so many) over rows of HANDLES, for a commit."""
    scenes = Counter(row["scene_id"] for row in rows)
    return sorted(Counter(scenes.values()).items())


def handle_counts(storage: Storage) -> Counter[int]:
    """Number of handles -> how many scenes have so many. A shard that cannot be read yet is left out."""
    reader, stage = OutputReader(storage), STAGE_OF["handles"]
    found: Counter[int] = Counter()

    def read(shard: int) -> Counter[int]:
        try:
            return Counter(len(rows) for rows in reader.rows("handles", shard, columns=["scene_id"]).values())
        except UNREADABLE:
            return Counter()

    for _, counts in tallied(Committed(storage, [stage]), stage, "handles", lambda tally: Counter(dict(tally)), read):
        found.update(counts)
    return found


def handle_words(storage: Storage, wanted: Collection[str]) -> Counter[tuple[str, ...]]:
    """Words of a scene's handles, by index, as `plain_word` writes them -> how many scenes have these. A word that is
    not wanted is "", so that there are few, however many scenes. A shard that cannot be read yet is left out."""
    reader = OutputReader(storage)

    def read(shard: int) -> Counter[tuple[str, ...]]:
        try:
            scenes = reader.rows("handles", shard, columns=["scene_id", "index", "word"]).values()
        except UNREADABLE:
            return Counter()
        ordered = [sorted(rows, key=lambda row: int(row["index"])) for rows in scenes]
        words = [[plain_word(row["word"]) for row in rows] for rows in ordered]
        return Counter(tuple(word if word in wanted else "" for word in own) for own in words)

    found: Counter[tuple[str, ...]] = Counter()
    for counts in in_order(read, reader.shards("handles")):
        found.update(counts)
    return found

"""How many handles the scenes of an OUTPUT have, by what the commits tell of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from pipeline.ledger.committed import Committed
from pipeline.shards.reader import UNREADABLE, OutputReader
from pipeline.shards.tally import tallied
from pipeline.stage_kinds import STAGE_OF
from pipeline.storage.folder import Storage


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

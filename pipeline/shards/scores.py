"""The scores of a run in a few numbers: one pass over the committed tables, a few columns of each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from pipeline.shards.reader import UNREADABLE, OutputReader
from pipeline.storage.folder import Storage
from pipeline.storage.many import in_order

_COLUMNS = ["scene_id", "prompt_similarity", "identity_similarity", "complete", "keep", "reason"]


@dataclass
class ScoreNumbers:
    """Sums over the variations that have scores. dropped: kind of reason -> how many."""

    count: int = 0
    kept: int = 0
    complete: int = 0
    prompt_sum: float = 0.0
    identity_sum: float = 0.0
    dropped: Counter[str] = field(default_factory=Counter)

    def add(self, row: dict[str, Any]) -> None:
        self.count += 1
        self.kept += bool(row["keep"])
        self.complete += bool(row["complete"])
        self.prompt_sum += row["prompt_similarity"]
        self.identity_sum += row["identity_similarity"]
        if not row["keep"]:
            self.dropped[kind_of(row["reason"])] += 1

    @property
    def prompt(self) -> float | None:
        """Mean prompt similarity."""
        return self.prompt_sum / self.count if self.count else None

    @property
    def identity(self) -> float | None:
        """Mean identity similarity."""
        return self.identity_sum / self.count if self.count else None

    @property
    def complete_share(self) -> float | None:
        """Share of the variations that hold every concept asked for exactly once."""
        return self.complete / self.count if self.count else None

    def why(self) -> str:
        """`3 near-duplicates, 1 collapsed`, or nothing."""
        return ", ".join(f"{number} {reason}" for reason, number in self.dropped.most_common())


def kind_of(reason: str | None) -> str:
    """What kind of reason stands in a row of SCORES, for counting."""
    start = (reason or "").split(":", 1)[0]
    if start.startswith("copy of "):
        return "near the source picture" if start == "copy of source" else "near-duplicates"
    names = {"prompt": "under min_prompt", "identity": "under min_identity"}
    return names.get(start, start or "without a reason")


def score_numbers(storage: Storage) -> ScoreNumbers:
    """Over every committed shard of scores; one that cannot be read yet is left out."""
    numbers, reader = ScoreNumbers(), OutputReader(storage)
    for rows in in_order(lambda shard: _rows(reader, shard), reader.shards("scores")):
        for row in rows:
            numbers.add(row)
    return numbers


def _rows(reader: OutputReader, shard: int) -> list[dict[str, Any]]:
    try:
        return [row for rows in reader.rows("scores", shard, columns=_COLUMNS).values() for row in rows]
    except UNREADABLE:
        return []

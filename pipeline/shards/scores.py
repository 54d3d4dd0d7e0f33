"""The scores of a run in a few numbers, by what the commits tell of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pipeline.ledger.committed import Committed
from pipeline.shards.reader import UNREADABLE, OutputReader
from pipeline.shards.tally import tallied
from pipeline.stage_kinds import STAGE_OF
from pipeline.storage.folder import Storage

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

    @staticmethod
    def of(rows: Iterable[dict[str, Any]]) -> ScoreNumbers:
        """Of rows of SCORES."""
        numbers = ScoreNumbers()
        for row in rows:
            numbers.add(row)
        return numbers

    def __iadd__(self, other: ScoreNumbers) -> ScoreNumbers:
        self.count += other.count
        self.kept += other.kept
        self.complete += other.complete
        self.prompt_sum += other.prompt_sum
        self.identity_sum += other.identity_sum
        self.dropped.update(other.dropped)
        return self

    @staticmethod
    def from_tally(tally: dict[str, Any]) -> ScoreNumbers:
        return ScoreNumbers(**{**tally, "dropped": Counter(tally["dropped"])})

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
    names = {"prompt": "under min_prompt", "identity": "under min_identity", "missing": "missing a concept"}
    return names.get(start, start or "without a reason")


def scores_tally(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """What rows of SCORES come to, for a commit; `ScoreNumbers.from_tally` reads it."""
    numbers = ScoreNumbers.of(rows)
    return {**vars(numbers), "dropped": dict(numbers.dropped)}


def score_numbers(storage: Storage, committed: Committed | None = None) -> ScoreNumbers:
    """Over every committed shard of scores; one that has to be read, and cannot be yet, is left out. committed: where
    somebody has listed them already."""
    numbers, reader, stage = ScoreNumbers(), OutputReader(storage), STAGE_OF["scores"]
    if committed is None or stage not in committed.stages:
        committed = Committed(storage, [stage])

    def read(shard: int) -> ScoreNumbers:
        try:
            rows = reader.rows("scores", shard, columns=_COLUMNS)
        except UNREADABLE:
            return ScoreNumbers()
        return ScoreNumbers.of(row for found in rows.values() for row in found)

    for _, found in tallied(committed, stage, "scores", ScoreNumbers.from_tally, read):
        numbers += found
    return numbers

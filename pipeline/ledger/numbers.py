"""The numbers of a job: one pass over the commits, a few of each long list kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.ledger.committed import Committed
from pipeline.ledger.plan import Plan
from pipeline.ledger.rounds import Ledger
from pipeline.ledger.run_record import recorded_stages
from pipeline.stage_kinds import LEARNING, StageKind, kinds_of
from pipeline.storage.folder import Storage
from pipeline.wording import span
from schemas.job import JobSpec

MAX_FAILURES = 500
"""Rows of failures that are kept of a run."""
MAX_MESSAGE = 600
"""Characters of a message that are kept."""
_BATCH = 4096


def committed_counts(
    storage: Storage, kinds: Sequence[StageKind], committed: Committed | None = None
) -> dict[str, tuple[int, int]]:
    """Stage -> (scenes with results, scenes without) over all its commits. committed: where somebody has listed them
    already."""
    committed = committed or Committed(storage, [kind.name for kind in kinds])
    return {kind.name: committed.counts(kind.name) for kind in kinds}


def committed_rows(storage: Storage, stage: str) -> int:
    """Rows of a stage's table over all its commits."""
    return Committed(storage, [stage]).rows(stage)


@dataclass
class StageNumbers:
    """What one stage has committed. given: in the earlier OUTPUT that the handles come from.

    per_shard: shard -> scenes done. started_s, ended_s: first and last commit, after the job's start.
    """

    name: str
    given: bool
    done: int = 0
    failed: int = 0
    rows: int = 0
    bytes: int = 0
    packing_s: float = 0.0
    started_s: float | None = None
    ended_s: float | None = None
    per_shard: dict[int, int] = field(default_factory=dict)

    def add(self, commit: dict[str, Any], since: float) -> None:
        """commit: a row of SUMMARY."""
        self.done += commit["done"]
        self.failed += commit["failed"]
        self.rows += sum(commit["rows"])
        self.bytes += sum(commit["bytes"])
        self.packing_s += commit["seconds"]
        self.per_shard[commit["shard"]] = commit["done"]
        if commit["finished_at"]:
            after = max(0.0, commit["finished_at"] - since)
            self.started_s = after if self.started_s is None else min(after, self.started_s)
            self.ended_s = after if self.ended_s is None else max(after, self.ended_s)

    @property
    def when(self) -> str:
        """`12 s`, or `12 s to 3 min`: after the job's start."""
        if self.started_s is None or self.ended_s is None:
            return ""
        ends = dict.fromkeys((span(self.started_s), span(self.ended_s)))
        return " to ".join(ends)


@dataclass
class RunNumbers:
    """failures: the first of them; failed_how: (stage, error class) -> how many; unsettled: shards not through."""

    stages: dict[str, StageNumbers]
    failures: list[dict[str, Any]]
    failed_how: Counter[tuple[str, str]]
    unsettled: int

    @property
    def failed(self) -> int:
        return sum(self.failed_how.values())


def run_numbers(
    storage: Storage, earlier: Storage | None, spec: JobSpec, record: dict[str, Any], plan: Plan
) -> RunNumbers:
    """Over every commit of the OUTPUT, and of `earlier` for the stages that ran there. record: of the OUTPUT."""
    since = float(record.get("created_at") or 0)
    homes: dict[str, tuple[Storage, bool]] = {}
    if earlier is not None:
        homes = dict.fromkeys(LEARNING, (earlier, True))
    homes |= {kind.name: (storage, False) for kind in kinds_of(spec)}
    numbers = RunNumbers({}, [], Counter(), 0)
    ledger = Ledger(storage, recorded_stages(record, spec))
    for name, (home, given) in homes.items():
        stage = numbers.stages[name] = StageNumbers(name, given)
        own = not given and name in ledger.stages
        committed = ledger.committed if own else Committed(home, [name])
        for batch in committed.table(name).to_batches(max_chunksize=_BATCH):
            for row in batch.to_pylist():
                stage.add(row, since)
        if given:
            stage.started_s = stage.ended_s = None  # another job's clock
            continue
        numbers.failed_how.update({(name, error): count for error, count in committed.errors(name).items()})
        room = MAX_FAILURES - len(numbers.failures)
        numbers.failures += [_shown(row) for row in committed.failures(name, room)]
    numbers.unsettled = len(ledger.unsettled(plan.shards))
    return numbers


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    message = str(row["message"]).strip() or str(row["error"])
    cut = message if len(message) <= MAX_MESSAGE else message[:MAX_MESSAGE] + " ..."
    return {**row, "message": cut, "traceback": None}

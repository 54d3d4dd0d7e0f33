"""The breaker of a job that fails everywhere: a broken machine or store must not turn a night into failures."""

from __future__ import annotations

from collections import Counter

from pipeline.wording import first_line
from schemas.cluster import Cluster
from schemas.errors import JobError
from schemas.outcomes import Failure


class FailureRate:
    """Scenes that a run has tried, stage by stage, and those that failed by no fault that is certainly their own. A
    picture that is broken, or shows no concept, is never counted as one of these."""

    def __init__(self, settings: Cluster) -> None:
        self._most, self._after = settings.max_failure_rate, settings.max_failure_rate_after
        self._tried: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()

    def tried(self, stage: str, scenes: int) -> None:
        """So many scenes have come to their end there, whatever it was."""
        self._tried[stage] += scenes

    def failed(self, stage: str, last: Failure, output: str) -> None:
        """One of them has failed for good. Raises JobError where too many have. output: for the sentence."""
        self._failed[stage] += 1
        tried, failed = self._tried[stage], self._failed[stage]
        if tried < self._after or failed <= self._most * tried:
            return
        raise JobError(
            f"cluster.max_failure_rate: {failed} of {tried} scenes of {stage} failed, the last with {last.error}: "
            f"{first_line(last.message, 'no message')}; so many point at a machine or a store, "
            "not at the scenes: mend it and run the same command, which tries them again, or set the field to 1 to "
            f"go on whatever fails (those of shards that are written wait for `unscene retry {output}`)"
        )

"""The first line of a report: whether it went well, as far as anybody has looked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.ledger.numbers import RunNumbers
from pipeline.shards.quality import kept_text, shows, thresholds
from pipeline.shards.scores import ScoreNumbers
from pipeline.wording import counted
from schemas.job import JobSpec

GOOD = 0.5
"""Less than this share kept, or without thresholds showing every concept once, and the line is a warning."""


@dataclass(frozen=True)
class Verdict:
    """text: one line; well: nothing in it is a warning; cautions: a sentence each; thresholds: in words."""

    text: str
    well: bool
    cautions: Sequence[str]
    thresholds: str


def verdict_of(
    scores: ScoreNumbers, spec: JobSpec, numbers: RunNumbers, variations: int, cautions: Sequence[str]
) -> Verdict:
    """variations: how many there are; cautions: see `quality.cautions`. It is well only where pictures were looked at,
    most are good, nothing failed, nothing is left to do and nobody warns."""
    if scores.count:
        text = kept_text(scores, spec.evaluate)
        good = scores.kept if thresholds(spec.evaluate) else scores.complete
        well = good >= GOOD * scores.count and scores.count == variations
        if scores.count < variations:
            text += f"; {variations - scores.count:,} not scored yet"
    elif variations:
        why, show = "yet" if spec.evaluate.enabled else "(evaluate.enabled is false)", shows(variations)
        text, well = f"not scored {why}: nobody has looked at what {counted(variations, 'picture')} {show}", False
    else:
        text, well = f"no pictures yet{_found(numbers)}" if numbers.unsettled else "no pictures were made", False
    if numbers.failed:
        text += f"; {counted(numbers.failed, 'scene')} failed"
    return Verdict(
        text[:1].upper() + text[1:], well and not numbers.failed and not cautions, cautions, thresholds(spec.evaluate)
    )


def _found(numbers: RunNumbers) -> str:
    """What a person looks at before anything trains: `: 5 concepts in 2 scenes`."""
    segment = numbers.stages["segment"]
    return f": {counted(segment.rows, 'concept')} in {counted(segment.done, 'scene')}" if segment.rows else ""

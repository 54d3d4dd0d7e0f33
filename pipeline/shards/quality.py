"""What a job's pictures are worth, in words that promise no more than was measured: one wording for the end of a run,
`unscene status` and the report.
"""

from __future__ import annotations

from pipeline.ledger.run_record import recorded_spec
from pipeline.shards.photographs import judges_caution
from pipeline.shards.scores import ScoreNumbers
from pipeline.storage.folder import Storage
from schemas.errors import JobError
from schemas.evaluate import Evaluate
from schemas.job import JobSpec

FEW = 0.25
"""Fewer of the base's own steps than this share, and a job is told to have trained little."""


def quality_lines(storage: Storage, scores: ScoreNumbers, spec: JobSpec, trained: bool) -> list[str]:
    """What is to be said of a job's pictures, a line each. trained: whether there are handles, its own or given."""
    return [
        *([kept_text(scores, spec.evaluate)] if scores.count else []),
        *cautions(storage, scores, spec, trained),
    ]


def cautions(storage: Storage, scores: ScoreNumbers, spec: JobSpec, trained: bool) -> list[str]:
    """Why pictures, or what is said of them, are not to be trusted."""
    found = [little_training(learned_by(spec)) if trained else None]
    found += [judges_caution(storage, spec) if scores.count else None]
    return [text for text in found if text]


def thresholds(settings: Evaluate) -> str:
    """`min_identity 0.6, concepts complete`: what a picture has to pass to be kept; empty where everything passes. The
    checks for copies and for flat pictures are always on, and say nothing of what is seen."""
    limits = {"min_prompt": settings.min_prompt, "min_identity": settings.min_identity}
    parts = [f"{name} {value:g}" for name, value in limits.items() if value is not None]
    return ", ".join([*parts, *([f"concepts {settings.concepts}"] if settings.concepts != "any" else [])])


def kept_text(scores: ScoreNumbers, settings: Evaluate) -> str:
    """`kept 175 of 204 (concepts found); 59 of the 204 show every concept asked for once (29 %)`, or without thresholds
    the second alone; reasons after it. The first is no part of the second, nor the second of the first."""
    set_ = thresholds(settings)
    once = f"{shows(scores.complete)} every concept asked for once ({100 * (scores.complete_share or 0):.0f} %)"
    if not set_:
        text = f"no thresholds set: {scores.complete:,} of {scores.count:,} {once}"
    elif settings.concepts == "complete" and scores.kept == scores.complete:
        text = f"kept {scores.kept:,} of {scores.count:,} ({set_})"
    else:
        text = f"kept {scores.kept:,} of {scores.count:,} ({set_}); {scores.complete:,} of the {scores.count:,} {once}"
    first = " (each by its first reason)" if len(scores.dropped) > 1 else ""
    return f"{text}; not kept: {scores.why()}{first}" if scores.dropped else text


def learned_by(spec: JobSpec) -> JobSpec:
    """The spec of the job that learned the handles: this one, or the one of `source.handles`."""
    if not spec.source.handles:
        return spec
    try:
        return recorded_spec(Storage(spec.source.handles))
    except (JobError, OSError):  # it was there when the pictures were drawn
        return spec


def shows(pictures: int) -> str:
    """`show`, or of one picture `shows`."""
    return "shows" if pictures == 1 else "show"


def little_training(spec: JobSpec) -> str | None:
    """One sentence where a job trains far less than its base and method do by themselves; None where it does not, or
    where it is not known what the handles' job did."""
    if spec.source.handles:
        return None
    same = {"models": {"base": spec.models.base}, "extract": {"method": spec.extract.method}}
    usual = JobSpec.model_validate({"source": {"uri": "-"}, "output": "-", **same}).extract
    steps = spec.extract.phase1.steps + spec.extract.phase2.steps
    least = usual.phase1.steps + usual.phase2.steps
    if steps >= FEW * least:
        return None
    return (
        f"trained for {steps} steps a scene, where the default for {spec.models.base} is {least}: expect "
        "pictures that do not show the concepts; raise extract.phase1.steps and extract.phase2.steps, in an output of "
        "its own"
    )

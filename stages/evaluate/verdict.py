"""Whether a variation is worth keeping, and if not, why: the first reason that holds."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.evaluate import Evaluate


@dataclass(frozen=True)
class Scores:
    """Of one variation; the columns of `SCORES` that decide. copy_of: None if it is its own picture."""

    prompt_similarity: float
    identity_similarity: float
    complete: bool
    contrast: float
    copy_similarity: float
    copy_of: str | None


def collapsed(scores: Scores, settings: Evaluate) -> bool:
    """Whether the picture is flat."""
    return scores.contrast < settings.min_contrast


def why_not(scores: Scores, settings: Evaluate) -> str | None:
    """Why it is not kept, in words that begin with the kind of reason; None: it is."""
    if collapsed(scores, settings):
        return f"collapsed: contrast {scores.contrast:.3f} under {settings.min_contrast:g}"
    if scores.copy_of is not None:
        return f"copy of {scores.copy_of}: correlation {scores.copy_similarity:.3f} over {settings.max_copy:g}"
    if settings.min_prompt is not None and scores.prompt_similarity < settings.min_prompt:
        return f"prompt: similarity {scores.prompt_similarity:.3f} under {settings.min_prompt:g}"
    if settings.min_identity is not None and scores.identity_similarity < settings.min_identity:
        return f"identity: similarity {scores.identity_similarity:.3f} under {settings.min_identity:g}"
    if settings.complete_only and not scores.complete:
        return "incomplete: not every concept asked for was found exactly once"
    return None

"""Whether a variation is worth keeping, and if not, why: the first reason that holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.evaluate import Evaluate


@dataclass(frozen=True)
class Scores:
    """Of one variation; what decides. found: name of each concept asked for -> how many masks show it; copy_of: None if
    it is its own picture.
    """

    prompt_similarity: float
    identity_similarity: float
    found: Mapping[str, int]
    contrast: float
    copy_similarity: float
    copy_of: str | None

    @property
    def complete(self) -> bool:
        """Whether every concept asked for was found exactly once."""
        return all(count == 1 for count in self.found.values())


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
    if settings.concepts != "any" and (missing := [name for name, count in scores.found.items() if not count]):
        return f"missing: {' and '.join(missing)} not found"
    if settings.concepts == "complete" and not scores.complete:
        several = [f"{name} {count} times" for name, count in scores.found.items() if count > 1]
        return f"incomplete: found {' and '.join(several)}"
    return None


def name_of(index: int, handle: str | None, word: str | None) -> str:
    """How a reason calls a concept: `<asset1> (mug)`; its number where it has no handle."""
    return (handle or f"concept {index}") + (f" ({word})" if word else "")

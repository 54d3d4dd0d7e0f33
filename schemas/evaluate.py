"""The `evaluate` section of the job spec: how variations are scored, and which of them are worth keeping."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from annotated_types import Ge, Le

from schemas.fields import BATCHES, Strict, field

PROMPTS_INSIDE = 6
"""So many prompts of the judges' grid lie in the smallest thing that counts."""


class Evaluate(Strict):
    """Scores for every variation, and which of them to keep. The judges are `models.clip`, `models.identity` and
    `models.sam`, or `sam`, with the settings of `segment` and a grid of their own. Off unless asked for: scores of a
    judge that does not know such pictures are worse than none, and the judges for photographs are a download of 2 GB,
    which `unscene jobs overnight` names.
    """

    enabled: bool = field(
        False, "Score the variations. Nothing is deleted: `keep` is a column of the scores.", also=("score", "scores")
    )
    min_prompt: float | None = field(
        None, "Keep pictures with at least this prompt similarity (cosine). None: any.", ge=-1, le=1
    )
    min_identity: float | None = field(
        None, "Keep pictures with at least this identity similarity (cosine). None: any.", ge=-1, le=1
    )
    concepts: Literal["found", "complete", "any"] = field(
        "found",
        "Keep pictures in which every concept asked for is `found` at least once, or those that are `complete`: each "
        "exactly once, as far as masks tell (a toy whose ear is a mask of its own counts twice). `any`: whatever they "
        "show.",
    )
    found_at: Annotated[float, Ge(-1), Le(1)] | Literal["auto"] = field(
        "auto",
        "From this identity similarity (cosine) on, -1 to 1, a mask of the picture counts as the concept. `auto`: by "
        "scene, three quarters of the way from what the judge says of ground in a concept's shape to what it says of "
        "the concept itself, moved, turned, shrunk and darker.",
    )
    max_copy: float | None = field(
        0.95,
        "A picture that correlates more, mirrored or not, with its source picture (a minimal edit) or with an earlier "
        "one of the same scene and prompt (a near-duplicate) is not kept. Of pixels, at 32 x 32. None: any.",
        ge=0,
        le=1,
    )
    min_contrast: float = field(
        0.02,
        "A picture whose brightness varies less is collapsed, and not kept. Unit: standard deviation as a share of "
        "full brightness.",
        ge=0,
        le=0.5,
    )
    sam: str | None = field(
        None,
        "Segment Anything that finds the concepts in variations, as in `models.sam`: a smaller one judges for less. "
        "None: `models.sam`.",
    )
    points_per_side: Annotated[int, Ge(1)] | Literal["auto"] | None = field(
        "auto",
        f"Grid of point prompts on a variation. `auto`: so dense that {PROMPTS_INSIDE} lie in a thing of "
        "`segment.min_area`, and no denser than `segment.points_per_side`. None: that of `segment`.",
    )
    batch: int = field(
        16, "Pictures scored at once on one worker; memory and speed, not results.", ge=1, result=False, also=BATCHES
    )

    def grid(self, most: int, min_area: float) -> int:
        """Point prompts along one side of a variation. most: along one side of a source picture; min_area: of what
        counts, as a share of the picture."""
        if self.points_per_side == "auto":
            return min(most, math.ceil(math.sqrt(PROMPTS_INSIDE / min_area))) if min_area else most
        return self.points_per_side or most

"""Why a picture has no concept, and which field of the job would have to change for it to have one."""

from __future__ import annotations

import math

from schemas.job import JobSpec
from stages.segment.proposal import Proposals
from stages.segment.selection import Selection

OWN = "give the scene masks of its own"


def why_none(spec: JobSpec, proposals: Proposals, selection: Selection) -> str:
    """One sentence, of a selection without concepts."""
    if not proposals:
        return f"Segment Anything found no mask good enough: {_why_nothing(spec, proposals)}"
    settings = spec.segment
    reasons = ", ".join(f"{number} {reason}" for reason, number in sorted(selection.dropped.items()))
    return (
        f"none of {len(proposals)} masks is a concept ({reasons}); change segment.min_area ({settings.min_area}), "
        f"segment.max_area ({settings.max_area}) or segment.max_border ({settings.max_border}), or {OWN}"
    )


def _why_nothing(spec: JobSpec, proposals: Proposals) -> str:
    """How near the nearest mask came to the thresholds, and what there is to do."""
    nearest = proposals.nearest
    iou, stability = (
        f"segment.{name} ({getattr(spec.segment, name)})" for name in ("pred_iou_thresh", "stability_score_thresh")
    )
    if nearest and nearest.predicted_iou <= spec.segment.pred_iou_thresh:
        lower = f"the best is predicted an IoU of {_cut(nearest.predicted_iou)}; lower {iou}"
    elif nearest and nearest.stability_score is not None:
        lower = f"of those that pass {iou} the most stable has {_cut(nearest.stability_score)}; lower {stability}"
    elif nearest:
        lower = f"what passes {iou} is empty; lower it"
    else:  # from crops, of which the library tells no more
        lower = f"lower {iou} or {stability}"
    small = spec.models.sam == "seedling"
    return f"{lower}, or, for photographs, name another models.sam, or {OWN}" if small else f"{lower}, or {OWN}"


def _cut(value: float) -> str:
    """Two digits, below the value: a threshold that lets it pass."""
    return f"{max(0, math.floor((value - 1e-6) * 100)) / 100:.2f}"

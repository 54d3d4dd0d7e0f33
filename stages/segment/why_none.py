"""Why a picture has no concept, and which field of the job would have to change for it to have one."""

from __future__ import annotations

import math

from schemas.job import JobSpec
from stages.segment.proposal import Proposals
from stages.segment.selection import Selection

OWN = "give the scene masks of its own"
BOUND = {"too small": "min_area", "too large": "max_area", "along the border": "max_border"}
"""Why selection drops a mask -> the field of `segment` that bounds it."""


def why_none(spec: JobSpec, proposals: Proposals, selection: Selection) -> str:
    """One sentence, of a selection without concepts."""
    if not proposals:
        return f"Segment Anything found no mask good enough: {_why_nothing(spec, proposals)}"
    reasons = ", ".join(f"{number} {reason}" for reason, number in sorted(selection.dropped.items()))
    moved = [_said(spec, field) for reason, field in BOUND.items() if reason in selection.dropped]
    masks = "the only mask is no concept" if len(proposals) == 1 else f"none of {len(proposals)} masks is a concept"
    return (
        f"{masks} ({reasons}); change {' or '.join(moved or [_said(spec, field) for field in BOUND.values()])}, lower "
        f"{_said(spec, 'pred_iou_thresh')} for more masks, or {OWN}"
    )


def _why_nothing(spec: JobSpec, proposals: Proposals) -> str:
    """How near the nearest mask came to the thresholds, and what there is to do."""
    nearest = proposals.nearest
    iou, stability = _said(spec, "pred_iou_thresh"), _said(spec, "stability_score_thresh")
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


def _said(spec: JobSpec, field: str) -> str:
    return f"segment.{field} ({getattr(spec.segment, field)})"


def _cut(value: float) -> str:
    """Two digits, below the value: a threshold that lets it pass."""
    return f"{max(0, math.floor((value - 1e-6) * 100)) / 100:.2f}"

"""How densely the judges look: by the smallest thing that counts, and never more than the segmenter of the job."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.fingerprint import fingerprint, result_fields
from schemas.job import JobSpec


def job(segment: dict[str, Any] | None = None, **evaluate: Any) -> JobSpec:
    tree = {"source": {"uri": "/p"}, "output": "/o", "models": {"sam": "sam_vit_h.pth"}, "segment": segment or {}}
    return JobSpec.model_validate({**tree, "evaluate": {"enabled": True, **evaluate}})


@pytest.mark.parametrize(
    ("segment", "given", "side"),
    [
        ({}, "auto", 18),  # 324 prompts, of which 6.5 lie in 2 % of the picture
        ({"min_area": 0.06}, "auto", 10),
        ({"points_per_side": 8}, "auto", 8),
        ({"min_area": 0.0}, "auto", 32),
        ({}, None, 32),
        ({}, 40, 40),
    ],
)
def test_six_prompts_lie_in_the_smallest_thing(segment: dict[str, Any], given: Any, side: int) -> None:
    spec = job(segment, points_per_side=given)
    assert spec.judging.points_per_side == side
    assert spec.judging.model_copy(update={"points_per_side": 1}) == spec.segment.model_copy(
        update={"points_per_side": 1}
    )


def test_who_began_with_the_grid_of_segment_goes_on_with_it() -> None:
    """An OUTPUT that was scored before there was such a field is scored to its end with `points_per_side: null`, and
    where `auto` comes to the same grid it needs nothing."""
    as_ever = fingerprint(job(points_per_side=None), {})
    assert fingerprint(job(points_per_side=32), {}) == as_ever
    assert fingerprint(job(points_per_side="auto"), {}) != as_ever
    few = {"points_per_side": 8}
    assert fingerprint(job(few), {}) == fingerprint(job(few, points_per_side=None), {})
    assert fingerprint(job(sam="other", points_per_side=None), {}) != as_ever
    given = JobSpec.model_validate(
        {
            "source": {"handles": "/h"},
            "output": "/o",
            "evaluate": {"enabled": True, "sam": "b.pth", "points_per_side": 5},
        }
    )
    assert not {"models.sam", "segment.points_per_side"} & set(result_fields(given, {})), "nothing uses them"
    unscored = (
        fingerprint(job(enabled=False, points_per_side=side, sam=sam), {})
        for side, sam in (("auto", None), (None, "other"), (9, None))
    )
    assert len(set(unscored)) == 1, "nobody looks"

"""Whether a job's pictures are photographs, of which the models that ship can say nothing."""

from __future__ import annotations

from pathlib import Path

import pyarrow.compute as pc

from pipeline.ledger.plan import read_plan
from pipeline.storage.folder import Storage
from pipeline.wording import size_text
from schemas.errors import JobError
from schemas.job import JobSpec
from stages.models.place import BUNDLED

PHOTOGRAPH_BYTES = 60_000
"""Where the middle file is as large, they are photographs, or at any rate none that the seedling could read: the demo's
are a few kilobytes, a camera's a few million. Unit: bytes."""

ELSEWHERE = "`unscene jobs overnight` names models of photographs"


def are_photographs(usual: float) -> bool:
    """usual: size of the middle file. Unit: bytes."""
    return usual >= PHOTOGRAPH_BYTES


def ships(name: str) -> bool:
    """Whether a model is one of those that come with Unscene."""
    return name == "seedling" or ("://" not in name and Path(name).is_relative_to(BUNDLED))


def planned_bytes(storage: Storage, spec: JobSpec) -> float:
    """Size of the middle picture of a job, or of the one that learned its handles; 0 where that is not known."""
    try:
        table = read_plan(Storage(spec.source.handles) if spec.source.handles else storage).table
    except (JobError, OSError):  # it was there when the pictures were drawn
        return 0.0
    sizes = table.column("bytes") if "bytes" in table.column_names else []
    return float(pc.quantile(sizes, 0.5)[0].as_py() or 0.0) if len(sizes) else 0.0


def judges_caution(storage: Storage, spec: JobSpec) -> str | None:
    """One sentence where models that ship have scored pictures of photographs; None where they have not."""
    if not spec.evaluate.enabled:
        return None
    sam, field = spec.judges_sam
    judges = {field: sam, "models.clip": spec.models.clip, "models.identity": spec.models.identity}
    ours = ", ".join(name for name, model in judges.items() if ships(model))
    usual = planned_bytes(storage, spec) if ours else 0.0
    if not are_photographs(usual):
        return None
    return (
        f"scored by the seedling ({ours}), which knows small drawn scenes only, and these look like photographs "
        f"({size_text(usual)} a file): go by none of these scores; {ELSEWHERE}"
    )

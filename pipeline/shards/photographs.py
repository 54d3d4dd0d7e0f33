"""Whether a job's pictures are photographs, of which the models that ship can say nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.ledger.plan import planned_sizes
from pipeline.storage.folder import Storage
from pipeline.wording import size_text
from schemas.errors import JobError
from schemas.job import JobSpec
from stages.models.place import BUNDLED

PHOTOGRAPH_BYTES = 60_000
"""Where one file in ten is as large, there are photographs, or at any rate pictures that the seedling could not read:
the demo's are a few kilobytes, a camera's a few million. Unit: bytes."""
_LARGE = 0.9
"""Which of the files, by size: beside each photograph there may be several that are none, such as its masks."""

ELSEWHERE = "`unscene jobs overnight` names models of photographs"


def are_photographs(large: float) -> bool:
    """large: see `large_bytes`."""
    return large >= PHOTOGRAPH_BYTES


def large_bytes(sizes: Sequence[int] | pa.ChunkedArray) -> float:
    """Size of a file that is larger than most; 0 where none is known. Unit: bytes."""
    known = sizes if isinstance(sizes, pa.ChunkedArray) else pa.array(sizes, pa.int64())
    return float(pc.quantile(known, _LARGE, interpolation="lower")[0].as_py() or 0.0) if len(known) else 0.0


def ships(name: str) -> bool:
    """Whether a model is one of those that come with Unscene."""
    return name == "seedling" or ("://" not in name and Path(name).is_relative_to(BUNDLED))


def planned_bytes(storage: Storage, spec: JobSpec) -> float:
    """`large_bytes` of the pictures of a job, or of the one that learned its handles."""
    try:
        return large_bytes(planned_sizes(Storage(spec.source.handles) if spec.source.handles else storage))
    except (JobError, OSError):  # it was there when the pictures were drawn
        return 0.0


def judges_caution(storage: Storage, spec: JobSpec) -> str | None:
    """One sentence where models that ship have scored pictures of photographs; None where they have not."""
    if not spec.evaluate.enabled:
        return None
    sam, field = spec.judges_sam
    judges = {field: sam, "models.clip": spec.models.clip, "models.identity": spec.models.identity}
    ours = ", ".join(name for name, model in judges.items() if ships(model))
    large = planned_bytes(storage, spec) if ours else 0.0
    if not are_photographs(large):
        return None
    return (
        f"scored by the seedling ({ours}), which knows small drawn scenes only, and these look like photographs "
        f"({size_text(large)} a file): go by none of these scores; {ELSEWHERE}"
    )

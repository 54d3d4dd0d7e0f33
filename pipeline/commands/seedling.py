"""What the models that ship cannot do, said before they are let loose on it: the seedling knows the small drawn scenes
that it was trained on, and nothing of photographs."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from pipeline.shards.photographs import ELSEWHERE, are_photographs, large_bytes, planned_bytes, ships
from pipeline.storage.folder import Storage
from pipeline.wording import counted, size_text
from schemas.job import JobSpec

if TYPE_CHECKING:
    from stages.ingest.census import Census


def seedling_lines(spec: JobSpec, census: Census | None) -> list[str]:
    """A line where a bundled model would read or draw photographs: by the sizes of the files, or because the base is
    not the seedling. census: of the source, None where handles are given."""
    used = _used(spec, census)
    ours = [field for field, name in used.items() if ships(name)]
    if not ours:
        return []
    fields = ", ".join(ours)
    are = "are" if len(ours) > 1 else "is"
    if not ships(spec.models.base):
        why = f"and models.base is {spec.models.base}"
    elif are_photographs(large := _large(spec, census)):
        why = f"and these look like photographs ({size_text(large)} a file)"
    else:
        return []
    which = ""
    if ours == ["models.sam"] and census is not None and not spec.evaluate.enabled:
        unmasked = sum(not picked.masks for picked in census.pictures)
        which = f"; it would look for things in {counted(unmasked, 'picture')} without masks"
    return [f"{fields} {are} the seedling, which knows small drawn scenes only, {why}{which}; {ELSEWHERE}"]


def _used(spec: JobSpec, census: Census | None) -> dict[str, str]:
    """Field -> the model, of those that this job works with."""
    judges, models = spec.evaluate.enabled, spec.models
    finds = census is not None and any(not picked.masks for picked in census.pictures)
    found = {"models.base": models.base}
    if finds or (judges and spec.evaluate.sam is None):
        found["models.sam"] = models.sam
    if judges and spec.evaluate.sam is not None:
        found["evaluate.sam"] = spec.evaluate.sam
    if judges or (census is not None and bool(spec.segment.vocabulary)):
        found["models.clip"] = models.clip
    if judges:
        found["models.identity"] = models.identity
    return found


def _large(spec: JobSpec, census: Census | None) -> float:
    """`large_bytes` of the source's pictures, or of those that handles were learned from where they are given."""
    if census is None:
        return planned_bytes(Storage(spec.output), spec)
    return large_bytes(array("q", (picked.bytes for picked in census.pictures if picked.bytes is not None)))

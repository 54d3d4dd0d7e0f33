"""Handles are of one base: whether a job with `source.handles` draws on the base that they were learned on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.errors import SpecError
from schemas.job import JobSpec
from stages.models.content import is_partial


def check_learned_with(spec: JobSpec, base: str, earlier: Mapping[str, Any]) -> None:
    """base: what identifies the spec's base; earlier: the run.json under `source.handles`.

    Raises SpecError that names each field that differs, and what it was.
    """
    recorded, said = earlier.get("fields", {}), earlier.get("spec", {}).get("models", {})
    learned_on, place = recorded.get("models.base"), spec.source.handles
    if is_partial(learned_on):
        raise SpecError(
            f"source.handles: the handles under {place} were learned by an older Unscene, which knew models.base by a "
            f"part of its bytes, so nobody can tell whether this base is theirs; draw with that version, or learn them "
            f"again"
        )
    changes, remedies = [], []
    if learned_on is not None and learned_on != base:
        changes.append(f"models.base: {learned_on} -> {base}")
        if said.get("base") == spec.models.base and said.get("revision") == spec.models.revision:
            remedies.append("put the files of models.base back as they were")
        elif said.get("base") == spec.models.base:
            changes.append(f"models.revision: {said.get('revision')!r} -> {spec.models.revision!r}")
            remedies.append(f"set models.revision={said.get('revision') or 'null'}")
        else:
            revision = f" with models.revision={said['revision']}" if said.get("revision") else ""
            remedies.append(f"set models.base={said.get('base')}{revision}")
    placeholder = recorded.get("extract.placeholder")
    if placeholder is not None and placeholder != spec.extract.placeholder:
        changes.append(f"extract.placeholder: {placeholder!r} -> {spec.extract.placeholder!r}")
        remedies.append(f"set extract.placeholder={placeholder}")
    if changes:
        raise SpecError(
            f"source.handles: the handles under {place} were learned with another base or under other names "
            f"({'; '.join(changes)}); {' and '.join(remedies)}, or learn them again"
        )

"""Which settings of a job may still change: those that no stage has read which has begun."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.ledger.rounds import FAILURES
from pipeline.storage.folder import Storage
from schemas.fingerprint import changed_fields, first_reader
from schemas.job import JobSpec

_OPEN = "source.masks_drawn_on"
"""`auto` decides only what cannot be otherwise and fails the rest, so the answer may come later: what is made stays."""
_TRACES = ("_work", "_attempts", "_commits")
_BEGUN = "_begun"
"""A file a stage whose workers were given something: one that outlives its driver may leave its part later."""
_ORDER = ("ingest", "segment", "extract", "generate", "evaluate")


@dataclass(frozen=True)
class Changes:
    """locked: fields that what lies in the OUTPUT was made with. free: fields that no stage which has begun there
    reads. Each `name: old -> new`."""

    locked: list[str] = field(default_factory=list)
    free: list[str] = field(default_factory=list)


def changes(storage: Storage, earlier: Mapping[str, Any], spec: JobSpec, fields: Mapping[str, Any]) -> Changes:
    """How a job differs from the one that run.json tells of.

    earlier: run.json, with `spec` and `fields`. fields: `result_fields` of the job as it is asked for now.
    """
    last = _furthest(storage)
    found = Changes()
    for name in sorted({*earlier["fields"], *fields}):
        old, new = earlier["fields"].get(name), fields.get(name)
        if old == new or (name == _OPEN and old == "auto") or _now_known(name, earlier, spec, old):
            continue
        text = changed_fields({name: old}, {name: new})
        (found.free if _ORDER.index(first_reader(name, spec)) > last else found.locked).extend(text)
    return found


def _now_known(name: str, earlier: Mapping[str, Any], spec: JobSpec, old: Any) -> bool:
    """Whether a model goes by its bytes now that went by its name, as nothing had to read it, or another OUTPUT by
    those of its settings that its handles depend on, that went by all of them."""
    if name == "source.handles" and spec.source.handles:
        return bool(old == json.loads(Storage(spec.source.handles).read("run.json")).get("fingerprint"))
    section, _, key = name.partition(".")
    called = getattr(spec.models, key, None)
    return section == "models" and old == called == earlier["spec"].get(section, {}).get(key)


def mark_begun(storage: Storage, stage: str) -> None:
    """Before the first of its units is given to a worker: from then on its settings stay."""
    storage.create(f"{_BEGUN}/{stage}", b"")


def has_begun(storage: Storage, stage: str) -> bool:
    return _ORDER.index(stage) <= _furthest(storage)


def nothing_begun(storage: Storage) -> bool:
    """Whether any job may take the OUTPUT, whoever wrote the record of the one before."""
    return not (storage.folders("_commits") or storage.folders("_work") or storage.names(_BEGUN))


def _furthest(storage: Storage) -> int:
    """Number of the last stage that has begun: -1 for none, that of all where a shard is settled, since an added stage
    would not be looked for there."""
    begun = {stage for folder in _TRACES for stage in storage.folders(folder) if _holds(storage, f"{folder}/{stage}")}
    begun |= storage.names(_BEGUN).keys()
    return len(_ORDER) if FAILURES in begun else max((_ORDER.index(one) for one in begun if one in _ORDER), default=-1)


def _holds(storage: Storage, folder: str) -> bool:
    return bool(storage.names(folder) or storage.folders(folder))

"""The fingerprint of a run: a hash over exactly the fields and model revisions that change results (invariant 4)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from schemas.job import JobSpec
from schemas.secrets import masked_tree

SECTIONS = ("source", "seed", "models", "ingest", "segment", "extract", "generate", "evaluate")
_GENERATION = ("source.handles", "seed", "models.base", "models.revision", "models.dtype", "generate.", "evaluate.")
_JUDGING = ("models.sam", "models.clip", "models.identity", "segment.")
"""What scores depend on besides."""
_PLACING = ("generate.mode", "generate.place.")
_LATER = ("generate.accelerate", "generate.guidance_interval", "evaluate.sam", "evaluate.points_per_side")
"""Fields that change nothing where they are null."""
_PREPARING = ("ingest.square",)
"""What pictures that others are placed into depend on besides."""


def result_fields(spec: JobSpec, revisions: Mapping[str, str]) -> dict[str, Any]:
    """Dotted name -> value of every field that changes results.

    revisions: `models.base`, `source.coco` ... -> what identifies their content; it stands in for the path,
    so the same weights in another folder are the same run. Without credentials: they are written to run.json, and the
    same place by a new signature is the same place.
    """
    fields: dict[str, Any] = {}
    for section in SECTIONS:
        value = getattr(spec, section)
        fields.update(_flatten(section, value) if isinstance(value, BaseModel) else {section: value})
    looks = spec.judging.points_per_side
    own = spec.evaluate.enabled and looks != spec.segment.points_per_side
    fields["evaluate.points_per_side"] = looks if own else None
    if not spec.evaluate.enabled:
        fields["evaluate.sam"] = None
    fields.update(revisions)
    if spec.generate.mode == "variations":  # nothing is placed, and who began without this mode goes on
        fields = {name: value for name, value in fields.items() if not name.startswith(_PLACING)}
    for name in _LATER:  # who began before there was such a field goes on
        if fields.get(name, 0) is None:
            del fields[name]
    if spec.source.handles:  # only what follows training runs; the handles' own fingerprint stands for all before it
        counting = _GENERATION + (_JUDGING if spec.evaluate.enabled else ())
        counting += _PREPARING if spec.generate.mode == "place" and spec.generate.place.given else ()
        unused = {"models.sam"} if spec.evaluate.sam is not None else set[str]()
        unused |= {"segment.points_per_side"} if own else set()
        fields = {name: value for name, value in fields.items() if name.startswith(counting) and name not in unused}
    return {name: masked_tree(value) for name, value in sorted(fields.items())}


def learning_fingerprint(spec: JobSpec, fields: Mapping[str, Any]) -> str:
    """The same over those of a job's `result_fields` that its handles depend on."""
    learning = ("ingest", "segment", "extract")
    return _hash({name: value for name, value in fields.items() if first_reader(name, spec) in learning})


def fingerprint(spec: JobSpec, revisions: Mapping[str, str]) -> str:
    """SHA-256 over `result_fields`, as hex."""
    return _hash(result_fields(spec, revisions))


def _hash(fields: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def changed_fields(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """`name: old -> new` for every field that differs."""
    names = sorted(set(old) | set(new))
    return [f"{name}: {old.get(name)!r} -> {new.get(name)!r}" for name in names if old.get(name) != new.get(name)]


_READ_FIRST_BY = {
    "segment.": "segment",
    "models.sam": "segment",
    "models.dtype": "extract",
    "extract.": "extract",
    "generate.": "generate",
    "models.identity": "evaluate",
    "evaluate.": "evaluate",
}


def first_reader(name: str, spec: JobSpec) -> str:
    """The first stage whose results depend on a field of `result_fields`; what every stage reads counts as the first's.

    models.base: ingest makes pictures of the size that it takes. With given handles nothing is segmented, and only the
    judges read how it would be done.
    """
    if spec.source.handles and name.startswith(_JUDGING):
        return "evaluate"
    if name == "models.clip":
        return "segment" if spec.segment.vocabulary else "evaluate"
    return next((stage for prefix, stage in _READ_FIRST_BY.items() if name.startswith(prefix)), "ingest")


def _flatten(prefix: str, model: BaseModel) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, info in type(model).model_fields.items():
        extra = info.json_schema_extra
        if isinstance(extra, dict) and extra.get("result") is False:
            continue
        value = getattr(model, name)
        key = f"{prefix}.{name}"
        if isinstance(value, BaseModel):
            fields.update(_flatten(key, value))
        else:
            fields[key] = json.loads(json.dumps(value))
    return fields

"""What the report says of a job beside its scenes: settings that are not the defaults, and files that repeat others."""

from __future__ import annotations

import json
from typing import Any

import pyarrow.compute as pc
from pydantic import BaseModel

from pipeline.ledger.plan import Plan
from schemas.job import JobSpec, Source

MAX_DUPLICATES = 200
_ELSEWHERE = ("output", "source.uri", "source.handles", "source.storage_options")
"""Fields that the page shows in its head, or (credentials may hide there) not at all."""
_NOTIFY = "notify."
"""Who was told of the run is nothing that readers of its results have to do with."""


def duplicates_of(plan: Plan) -> tuple[int, list[dict[str, str]]]:
    """How many planned files repeat another one's bytes, and the first of them."""
    repeats = plan.table.filter(pc.is_valid(plan.table.column("duplicate_of")))
    shown = repeats.slice(0, MAX_DUPLICATES).select(["uri", "duplicate_of"]).to_pylist()
    return int(repeats.num_rows), list(shown)


def changed_settings(spec: JobSpec) -> list[tuple[str, str, str]]:
    """(field, value, default) of every setting that is not its field's default, as they stand in a spec; what a method
    or a bundled model has filled in is among them."""
    default = _flat("", JobSpec.model_construct(source=Source(uri="-"), output="-"))  # validation would fill it in
    return [
        (name, _text(value), _text(default[name]))
        for name, value in _flat("", spec).items()
        if value != default[name] and name not in _ELSEWHERE and not name.startswith(_NOTIFY)
    ]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _flat(prefix: str, model: BaseModel) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name in type(model).model_fields:
        value, key = getattr(model, name), f"{prefix}{name}"
        fields.update(_flat(f"{key}.", value) if isinstance(value, BaseModel) else {key: value})
    return fields

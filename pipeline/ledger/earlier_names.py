"""Fields of the spec that are called otherwise now: an OUTPUT that was begun under the old names is read by the new."""

from __future__ import annotations

from typing import Any

from schemas.evaluate import Evaluate

_EARLIER_FOUND_AT = (0.6, 0.8)
"""What `evaluate.found_at` was where nobody said anything: by default, and with the seedling for a judge."""


def by_todays_names(record: dict[str, Any]) -> dict[str, Any]:
    """A run.json with `evaluate.complete_only`, true or false, as `evaluate.concepts`, which it has become; any other
    as it is. Where nothing was scored, defaults of that time are those of today, so that such a job goes on.
    """
    spec, fields = record.get("spec"), record.get("fields")
    if isinstance(spec, dict) and isinstance(spec.get("evaluate"), dict):
        record = {**record, "spec": {**spec, "evaluate": _renamed(spec["evaluate"], "")}}
    if isinstance(fields, dict):
        record = {**record, "fields": _renamed(fields, "evaluate.")}
    return record


def _renamed(given: dict[str, Any], prefix: str) -> dict[str, Any]:
    old, concepts, found_at = (f"{prefix}{name}" for name in ("complete_only", "concepts", "found_at"))
    if old not in given:
        return given
    found = {name: value for name, value in given.items() if name != old}
    found[concepts] = "complete" if given[old] else "any"
    if not given.get(f"{prefix}enabled"):
        today = Evaluate()
        found[concepts] = "complete" if given[old] else today.concepts
        found[found_at] = today.found_at if given.get(found_at) in _EARLIER_FOUND_AT else given.get(found_at)
    return found

"""`--set section.field=value`: one field of a spec, from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from schemas.errors import SpecError
from schemas.field_paths import field_at, members
from schemas.secrets import masked_setting
from schemas.yaml_text import parse_value

_NULL = ("null", "Null", "NULL", "~")


def apply(tree: dict[str, Any], override: str) -> None:
    """Writes one `a.b.c=value` into a spec's tree. A field for text takes the value as it stands there, but for
    quotes around it and for `null`; any other reads it as YAML.

    Raises SpecError for what names no field or no value; whether both fit is seen when the spec is validated.
    """
    path, separator, value = override.partition("=")
    shown = masked_setting(override)
    keys = path.strip().split(".")
    if not separator or not all(keys):
        raise SpecError(f"--set {shown}: write it as --set section.field=value")
    if not value.strip():  # what a shell makes of a variable that is not set
        raise SpecError(f"--set {shown}: no value; write `null` for none, or '' in quotes for an empty text")
    parent: Any = tree
    for key, within in pairwise(keys):
        if within.isdigit():
            raise SpecError(f"--set {shown}: a list is set as a whole: {path.partition(f'.{within}')[0]}=[..., ...]")
        if parent.get(key) is None:
            parent[key] = {}
        parent = parent[key]
        if not isinstance(parent, dict):
            raise SpecError(f"--set {shown}: `{key}` holds a value, not a section")
    try:
        parent[keys[-1]] = _read(keys, value)
    except SpecError as error:
        raise SpecError(f"--set {shown}: {error}") from None


def setter_of(keys: Sequence[str], overrides: Sequence[str]) -> str | None:
    """The override that a key's value comes from, if one does: the last that names it, its section or a part of it."""
    dotted = ".".join(keys)
    for override in reversed(overrides):
        name = override.partition("=")[0].strip()
        if f"{dotted}.".startswith(f"{name}.") or f"{name}.".startswith(f"{dotted}."):
            return override
    return None


def _read(keys: Sequence[str], value: str) -> Any:
    parsed = parse_value(value)
    info = field_at(keys)
    if info is None or str not in members(info):
        return parsed
    if isinstance(parsed, str) or (parsed is None and value.strip() in _NULL):
        return parsed
    return value.strip()

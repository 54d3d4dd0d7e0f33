"""The fields of the job spec in words: name, type, default, meaning. `unscene fields` shows them, and the page of the
job spec is made of them."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from schemas.bundled import SETTINGS
from schemas.field_paths import section_at, section_of
from schemas.fingerprint import SECTIONS
from schemas.job import JobSpec


@dataclass(frozen=True)
class Field:
    """A field that takes a value. name: dotted, from the top of the spec; kind: its type with its limits; default: as
    YAML takes it, `none`, or `required`; result: whether it changes results, and so is part of the fingerprint."""

    name: str
    kind: str
    default: str
    meaning: str
    result: bool


def sections() -> list[str]:
    """Names of the sections at the top of the spec, in its order."""
    return [name for name, info in JobSpec.model_fields.items() if section_of(info)]


def within(section: str) -> dict[str, str]:
    """Dotted name -> what it is, of the sections within a section."""
    model = section_at(section.split("."))
    found = model.model_fields if model else {}
    return {f"{section}.{name}": info.description or "" for name, info in found.items() if section_of(info)}


def meaning(section: str) -> str:
    """What a section at the top of the spec is, as a paragraph of several lines."""
    model = section_at([section])
    return (model.__doc__ or "").strip() if model else ""


def fields(name: str = "") -> list[Field]:
    """The field of a dotted name, or all fields of the section, in the order of the spec; of no name those of the whole
    spec. Empty where nothing is called so."""
    return [field for field in _below(JobSpec, None, "", True) if f"{field.name}.".startswith(name and f"{name}.")]


def bundled(name: str) -> list[tuple[str, str]]:
    """(`models.base: seedling`, value) for each bundled model that brings another default for a field."""
    found = []
    for role, bundles in SETTINGS.items():
        for model, tree in bundles.items():
            value: Any = tree
            for key in name.split("."):
                value = value.get(key) if isinstance(value, dict) else None
            if value is not None and not isinstance(value, dict):
                found.append((f"models.{role}: {model}", json.dumps(value)))
    return found


def _below(model: type[BaseModel], section: Any, prefix: str, result: bool) -> Iterator[Field]:
    """section: as it is by default, where it has a default of its own; result: whether anything in it may count."""
    for name, info in model.model_fields.items():
        default, inner = _default(info, section, name), section_of(info)
        counts = result and _changes_results(info) and (prefix != "" or name in SECTIONS)
        if inner is not None:
            yield from _below(inner, default, f"{prefix}{name}.", counts)
            continue
        shown = "required" if info.is_required() else _shown(default)
        yield Field(f"{prefix}{name}", _type(info.annotation) + _limits(info), shown, info.description or "", counts)


def _shown(default: Any) -> str:
    return "none" if default is None else json.dumps(default, ensure_ascii=False)


def _default(info: FieldInfo, section: Any, name: str) -> Any:
    """What a field is by default: as its section has it, else as it says itself."""
    return getattr(section, name, info.default) if isinstance(section, BaseModel) else info.default


def _changes_results(info: FieldInfo) -> bool:
    extra = info.json_schema_extra
    return not (isinstance(extra, dict) and extra.get("result") is False)


def _type(annotation: Any) -> str:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(args[0])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in args)
    if origin in (Union, types.UnionType):
        return " or ".join("none" if arg is type(None) else _type(arg) for arg in args)
    if origin is list:
        return f"list of {_type(args[0])}"
    if origin is tuple:
        return f"list of {len(args)} {_type(args[0])}s"
    if origin is dict or annotation is dict:
        return "mapping"
    return {str: "text", int: "integer", float: "number", bool: "true / false"}[annotation]


def _limits(info: FieldInfo) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    found = [
        f"{sign} {value:g}"
        for name, sign in signs.items()
        for entry in info.metadata
        if (value := getattr(entry, name, None)) is not None
    ]
    return f", {', '.join(found)}" if found else ""

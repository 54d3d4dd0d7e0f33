"""The field of the job spec that a path of keys leads to."""

from __future__ import annotations

from collections.abc import Sequence
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from schemas.job import JobSpec


def field_at(keys: Sequence[str]) -> FieldInfo | None:
    """The field at a path of keys, if there is one."""
    section = section_at(keys[:-1])
    return None if section is None else section.model_fields.get(keys[-1])


def section_at(keys: Sequence[str]) -> type[BaseModel] | None:
    """The section at a path of keys, if there is one; the whole spec at none."""
    model: type[BaseModel] | None = JobSpec
    for key in keys:
        info = model.model_fields.get(key) if model else None
        model = section_of(info) if info else None
    return model


def section_of(info: FieldInfo) -> type[BaseModel] | None:
    """The section that a field is, if it is one."""
    annotation = info.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def members(info: FieldInfo) -> tuple[Any, ...]:
    """The types that a field takes: several for `str | None`."""
    union = get_origin(info.annotation) in (Union, UnionType)
    return get_args(info.annotation) if union else (info.annotation,)

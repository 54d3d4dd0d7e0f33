"""Spec fields and sections: every one says what it is, and whether it can change a result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator


def field(default: Any = ..., doc: str = "", *, result: bool = True, also: Sequence[str] = (), **limits: Any) -> Any:
    """A spec field. `result=False`: the field cannot change any output, so the fingerprint leaves it out.

    also: what other people's scripts and specs call it. No such key is read; whoever writes one is told of this field.
    The field's own name among them says that it is the one meant where others of that name lie as near.
    """
    return Field(default, description=doc, json_schema_extra={"result": result, "also": list(also)}, **limits)


BATCHES = ("batch", "batch_size")
"""What `also` a field is called that says how much is done at once."""


def under(words: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """`words` with `settings` filled in where they say nothing, field by field in sections within."""
    filled = dict(words)
    for name, value in settings.items():
        said = filled.setdefault(name, value)
        if isinstance(value, Mapping) and isinstance(said, Mapping):
            filled[name] = under(said, value)
    return filled


class Strict(BaseModel):
    """Unknown keys are errors; values are validated on assignment too. Numbers are finite."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True, protected_namespaces=(), allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, given: Any, info: ValidationInfo) -> Any:
        """YAML reads yes, no, on and off as true and false, and pydantic would read those as 1 and 0."""
        annotation = cls.model_fields[str(info.field_name)].annotation
        if isinstance(given, bool) and annotation is not bool:
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                enabled = f": {info.field_name}: {{enabled: {str(given).lower()}}}"
                raise ValueError(
                    f"it is a section{enabled if 'enabled' in annotation.model_fields else ', which takes fields'}"
                )
            raise ValueError(
                "neither true nor false belongs here, as which YAML reads yes, no, on and off without quotes"
            )
        return given

    @model_validator(mode="before")
    @classmethod
    def _keep_section_defaults(cls, given: Any) -> Any:
        """A section given in part keeps its own defaults for the rest: `phase2: {steps: 9}` has phase 2's rate."""
        if not isinstance(given, dict):
            return given
        merged = dict(given)
        for name, info in cls.model_fields.items():
            if isinstance(info.default, BaseModel) and isinstance(merged.get(name), dict):
                merged[name] = {**info.default.model_dump(exclude_defaults=True), **merged[name]}
        return merged

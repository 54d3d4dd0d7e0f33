"""Spec fields and sections: every one says what it is, and whether it can change a result."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator


def field(default: Any = ..., doc: str = "", *, result: bool = True, **limits: Any) -> Any:
    """A spec field. `result=False`: the field cannot change any output, so the fingerprint leaves it out."""
    return Field(default, description=doc, json_schema_extra={"result": result}, **limits)


class Strict(BaseModel):
    """Unknown keys are errors; values are validated on assignment too."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True, protected_namespaces=())

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

"""Writes docs/job-spec.md from the job spec's own fields: `python docs/make_job_spec.py`."""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from schemas.bundled import SETTINGS
from schemas.fingerprint import SECTIONS
from schemas.job import JobSpec

PAGE = Path(__file__).with_name("job-spec.md")
HEAD = """\
# Job spec

Generated from the fields of `schemas/job.py` and the files of its sections by `python docs/make_job_spec.py`.

A job is one YAML file. `source` and `output` are required, everything else has a default. Ready ones to copy are in
[jobs/](../jobs). Any field can be overridden on the command line, with a YAML value:

```
unscene run jobs/demo.yaml --set extract.phase1.steps=100 --set "generate.subsets=[union]"
```

A section given in part keeps its defaults for the rest. The model `seedling` changes some of them, see
[models](#models). An unknown key, one that stands twice, a value of the wrong type and a value out of range are errors
that name file, line and remedy, all of them at once; nothing is started. Names that other people's scripts have for a
field (`learning_rate`, `num_images`) are answered with the field's own. In a path `~` is read and `$HOME` is not, and a
relative one counts from the folder in which the command is typed. Numbers are read as they look (`0100` is 100),
and a field for text takes the value of `--set` as it is typed.

**Changes results** says whether a field is part of the run's fingerprint. A finished or half-finished output goes on
only with the same fingerprint; fields marked *no* may be changed at any time between runs. In place of the
models and of `source.coco` the fingerprint holds their content (or revision), so a moved model is the same model.
In a job that starts from `source.handles`, only `seed`, `models.base`, `models.revision`, `models.dtype`, `generate`
and `evaluate` count, together with the fingerprint of the job that learned the handles; with `evaluate.enabled` also
the judges, `models.sam` and `segment`.
"""


def page() -> str:
    """The whole page."""
    top = [(name, info) for name, info in JobSpec.model_fields.items() if _section(info) is None]
    parts = [HEAD, _table(top, "")]
    for name, info in JobSpec.model_fields.items():
        model = _section(info)
        if model is not None:
            table = _table(_leaves(model, _default(info)), f"{name}.", name in SECTIONS)
            parts += [f"## {name}\n\n{_sentence(model)}\n", *_parts_of(model, name)]
            parts += [*([_bundled()] if name == "models" else []), table]
    return "\n".join(parts)


def _parts_of(model: type[BaseModel], section: str) -> list[str]:
    """What the sections within a section are."""
    lines = [
        f"- `{section}.{name}`: {info.description}\n"
        for name, info in model.model_fields.items()
        if _section(info) is not None
    ]
    return ["".join(lines)] if lines else []


def _bundled() -> str:
    """What each bundled model sets."""
    brought = [
        f"`models.{role}: {name}` sets {', '.join(_settings(sections))}"
        for role, bundles in SETTINGS.items()
        for name, sections in bundles.items()
    ]
    return (
        f"A model that ships with Unscene brings the settings that suit it: {'; '.join(brought)}. They go under "
        "what the spec says itself, field by field, and under the settings of `extract.method`; every other model "
        "has the defaults of these tables. What was filled in stands in run.json and is part of the "
        "fingerprint.\n"
    )


def _settings(tree: Mapping[str, Any], prefix: str = "") -> list[str]:
    """`section.field` and value of every setting of a tree."""
    found: list[str] = []
    for name, value in tree.items():
        below = isinstance(value, Mapping)
        found += _settings(value, f"{prefix}{name}.") if below else [f"`{prefix}{name}` {json.dumps(value)}"]
    return found


def _leaves(model: type[BaseModel], default: Any) -> list[tuple[str, FieldInfo]]:
    """(name below the section, field with the default that holds there) of every field that takes a value."""
    found: list[tuple[str, FieldInfo]] = []
    for name, info in model.model_fields.items():
        value = getattr(default, name, info.default) if isinstance(default, BaseModel) else info.default
        inner = _section(info)
        if inner is None:
            found.append((name, _with_default(info, value)))
        else:
            result = _changes_results(info)
            found += [(f"{name}.{below}", _with_result(field, result)) for below, field in _leaves(inner, value)]
    return found


def _table(fields: list[tuple[str, FieldInfo]], prefix: str, counts: bool = True) -> str:
    rows = ["| Field | Type | Default | Meaning | Changes results |", "|---|---|---|---|---|"]
    for name, info in fields:
        meaning = (info.description or "").replace("|", "\\|")
        changes = "yes" if counts and _changes_results(info) else "no"
        rows.append(f"| `{prefix}{name}` | {_type(info)} | {_shown(info)} | {meaning} | {changes} |")
    return "\n".join(rows) + "\n"


def _section(info: FieldInfo) -> type[BaseModel] | None:
    annotation = info.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _default(info: FieldInfo) -> Any:
    return None if info.is_required() else info.default


def _with_default(info: FieldInfo, value: Any) -> FieldInfo:
    if info.is_required():
        return info
    return FieldInfo.merge_field_infos(info, default=value)


def _with_result(info: FieldInfo, result: bool) -> FieldInfo:
    return info if result else FieldInfo.merge_field_infos(info, json_schema_extra={"result": False})


def _changes_results(info: FieldInfo) -> bool:
    extra = info.json_schema_extra
    return not (isinstance(extra, dict) and extra.get("result") is False)


def _type(info: FieldInfo) -> str:
    return f"{_name(info.annotation)}{_limits(info)}"


def _name(annotation: Any) -> str:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _name(args[0])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in args)
    if origin in (Union, types.UnionType):
        return " or ".join("none" if arg is type(None) else _name(arg) for arg in args)
    if origin is list:
        inner = args[0]
        return f"list of {_name(inner)}"
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


def _shown(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    return "none" if info.default is None else f"`{json.dumps(info.default, ensure_ascii=False)}`"


def _sentence(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

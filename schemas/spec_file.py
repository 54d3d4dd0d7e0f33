"""From a YAML file and `--set a.b=c` overrides to a `JobSpec`, or one sentence that says which line is wrong."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from schemas.errors import SpecError
from schemas.job import JobSpec


def load_spec(path: str | Path, overrides: Sequence[str] = ()) -> JobSpec:
    """Reads a job spec.

    overrides: `a.b.c=value` strings; values are YAML, so `100`, `true` and `[a, b]` mean what they look like.
    Raises SpecError naming file, line and the nearest known key.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise SpecError(
            f"{file}: cannot read the job spec ({error.strerror or error}); see jobs/ for examples"
        ) from None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        tree = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{file}:{mark.line + 1}" if mark else str(file)
        raise SpecError(f"{where}: not valid YAML: {getattr(error, 'problem', None) or error}") from None
    if not isinstance(tree, dict):
        raise SpecError(f"{file}: a job spec is a mapping with at least `source` and `output`; see jobs/demo.yaml")
    for override in overrides:
        _apply(tree, override)
    return _validate(tree, lambda location: _where(file, node, location, overrides))


def spec_from(tree: dict[str, Any], origin: str) -> JobSpec:
    """A spec from an already parsed tree, such as the one in run.json; errors name `origin`."""
    return _validate(tree, lambda location: origin)


def _apply(tree: dict[str, Any], override: str) -> None:
    path, separator, value = override.partition("=")
    keys = path.strip().split(".")
    if not separator or not all(keys):
        raise SpecError(f"--set {override}: write it as --set section.field=value")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError:
        parsed = value
    parent: Any = tree
    for key in keys[:-1]:
        if parent.get(key) is None:
            parent[key] = {}
        parent = parent[key]
        if not isinstance(parent, dict):
            raise SpecError(f"--set {override}: `{key}` holds a value, not a section")
    parent[keys[-1]] = parsed


def _validate(tree: dict[str, Any], where: Any) -> JobSpec:
    try:
        return JobSpec.model_validate(tree)
    except ValidationError as problem:
        error = problem.errors()[0]
        location = [part for part in error["loc"] if isinstance(part, (str, int))]
        keys = [str(part) for part in location if not (isinstance(part, str) and ("[" in part or part in _UNION_TAGS))]
        dotted = ".".join(keys) or "the spec"
        if error["type"] == "extra_forbidden":
            known = _known_keys(keys[:-1])
            near = difflib.get_close_matches(keys[-1], known, n=1, cutoff=0.4)
            hint = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(known)}"
            raise SpecError(f"{where(keys)}: unknown key `{dotted}`; {hint}") from None
        if error["type"] == "missing":
            raise SpecError(f"{where(keys)}: `{dotted}` is missing; see docs/job-spec.md") from None
        message = error["msg"].removeprefix("Value error, ")
        given = "" if isinstance(error["input"], dict) else f" (got {error['input']!r})"
        raise SpecError(f"{where(keys)}: {dotted}: {message[:1].lower() + message[1:]}{given}") from None


_UNION_TAGS = {"int", "float", "str", "literal"}


def _known_keys(path: Sequence[str]) -> list[str]:
    """Field names of the section at `path` of the spec tree."""
    model: type[BaseModel] = JobSpec
    for key in path:
        info = model.model_fields.get(key)
        if info is None:
            return []
        for candidate in (info.annotation, *get_args(info.annotation)):
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                model = candidate
    return list(model.model_fields)


def _where(file: Path, node: Any, location: Sequence[str], overrides: Sequence[str]) -> str:
    """`file:line` of a key (of its nearest section when the key is not in the file), or the override that set it."""
    dotted = ".".join(location)
    for override in overrides:
        name = override.partition("=")[0].strip()
        if f"{dotted}.".startswith(f"{name}.") or f"{name}.".startswith(f"{dotted}."):
            return f"--set {override}"
    line = 1
    for key in location:
        if isinstance(node, yaml.MappingNode):
            found = [(name, value) for name, value in node.value if name.value == key]
            if not found:
                break
            line, node = found[0][0].start_mark.line + 1, found[0][1]
        elif isinstance(node, yaml.SequenceNode) and key.isdigit() and int(key) < len(node.value):
            node = node.value[int(key)]
            line = node.start_mark.line + 1
    return f"{file}:{line}"

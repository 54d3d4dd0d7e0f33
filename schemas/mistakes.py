"""What pydantic finds wrong with a spec, in words: each mistake once, a typo as the typo that it is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from schemas.field_paths import field_at, section_at, section_of
from schemas.job import JobSpec
from schemas.nearest import hint, nearest
from schemas.secrets import is_secret, masked_tree


class Mistake(NamedTuple):
    """keys: the path of the field in the spec; text: what is wrong with it, and what to do; meant: the fields that an
    unknown key may stand for; missing: whether the field is not there."""

    keys: tuple[str, ...]
    text: str
    meant: tuple[tuple[str, ...], ...] = ()
    missing: bool = False


def check(tree: dict[str, Any]) -> tuple[JobSpec | None, list[Mistake]]:
    """The spec that a tree stands for, or None and all mistakes, one a field.

    pydantic holds fields of a section against each other only where each is right by itself, so what is wrong by itself
    is put aside and the rest looked at once more.
    """
    try:
        return JobSpec.model_validate(tree), []
    except ValidationError as problem:
        found = mistakes_of(problem)
    rest: Any = tree
    for mistake in found:
        if not mistake.missing:
            rest = _without(rest, mistake.keys)
    try:
        JobSpec.model_validate(rest)
    except ValidationError as problem:
        known = {keys for mistake in found for keys in (mistake.keys, *mistake.meant)}
        spoken = {".".join(keys) for keys in known}
        found += [
            mistake
            for mistake in mistakes_of(problem)
            if not mistake.missing and mistake.keys not in known and not any(name in mistake.text for name in spoken)
        ]
    return None, found


def mistakes_of(problem: ValidationError) -> list[Mistake]:
    """All mistakes, one a field. A field that is missing under its name and there under a like one is one mistake."""
    found = _by_field(problem)
    missing = {keys for keys, errors in found.items() if errors[0]["type"] == "missing"}
    meant: set[tuple[str, ...]] = set()
    mistakes = []
    for keys, errors in found.items():
        if errors[0]["type"] == "extra_forbidden":
            near = nearest(keys, missing)
            meant.update(name[:depth] for name in near for depth in range(1, len(name) + 1))
            mistakes.append(Mistake(keys, f"unknown key `{'.'.join(keys)}`; {hint(keys, near)}", tuple(near)))
        elif errors[0]["type"] != "missing":
            mistakes.append(Mistake(keys, f"{'.'.join(keys) or 'the spec'}: {_wrong(keys, errors)}"))
    lacking = sorted(missing - meant)
    return mistakes + [
        Mistake(keys, f"`{'.'.join(keys)}` is missing; {_FIRST_LINES[keys]}", missing=True) for keys in lacking
    ]


_FIRST_LINES: dict[tuple[str, ...], str] = {
    ("source",): "say where the pictures are, such as `source: {uri: photos}`",
    ("output",): "say where everything is to land, such as `output: out/photos`",
}
"""The fields that every spec has to have, and how to write them."""


def _without(tree: Any, keys: tuple[str, ...]) -> Any:
    """A copy of a tree without the field, or the unknown key, that a path leads into."""
    if not keys or not isinstance(tree, dict):
        return tree
    first, *below = keys
    inner = {str(key): key for key in tree}.get(first)
    if inner is None:
        return tree
    if below and isinstance(tree[inner], dict):
        return {**tree, inner: _without(tree[inner], tuple(below))}
    return {key: value for key, value in tree.items() if key != inner}


def _by_field(problem: ValidationError) -> dict[tuple[str, ...], list[Any]]:
    """The errors of each field. A field that takes one of several kinds has one of each: the first."""
    found: dict[tuple[str, ...], list[Any]] = {}
    unions: dict[tuple[str, ...], tuple[tuple[str, ...], set[str]]] = {}
    for error in problem.errors(include_url=False):
        keys, member = _place(error["loc"])
        if member:
            field = _place(error["loc"][: error["loc"].index(member)])[0]
            keys, members = unions.setdefault(field, (keys, set()))
            if member in members:
                continue
            members.add(member)
        found.setdefault(keys, []).append(error)
    return found


def _place(location: Sequence[int | str]) -> tuple[tuple[str, ...], str]:
    """Keys of a place in the spec, and the member of a union that pydantic names between them."""
    section: type[BaseModel] | None = JobSpec
    keys: list[str] = []
    member = ""
    for part in location:
        if section is None and isinstance(part, str):
            member = member or part
            continue
        keys.append(str(part))
        info = section.model_fields.get(str(part)) if section else None
        section = section_of(info) if info else None
    return tuple(keys), member


_SHOWN = 200
"""Characters of a wrong value that a message repeats."""


def _wrong(keys: tuple[str, ...], errors: Sequence[Mapping[str, Any]]) -> str:
    """Why a value is refused; of the kinds that its field takes, each says why."""
    given = errors[0]["input"]
    messages = [str(error["msg"]).removeprefix("Value error, ") for error in errors]
    reasons = list(dict.fromkeys(message[:1].lower() + message[1:] for message in messages))
    text = ", or ".join(reasons)
    remedy = _remedy(keys, {str(error["type"]) for error in errors}, given)
    if isinstance(given, dict):
        return text + remedy
    if is_secret(keys):
        return text + remedy
    shown = repr(masked_tree(given))
    return f"{text} (got {shown if len(shown) <= _SHOWN else f'{shown[:_SHOWN]}...'}){remedy}"


def _remedy(keys: tuple[str, ...], kinds: set[str], given: Any) -> str:
    """What to do, where the reason alone does not say it."""
    if "string_type" in kinds and isinstance(given, dict):
        sign = f"`{{{next(iter(given))}}}` without them" if None in given.values() else "what stands before a `: `"
        return f"; put it in quotes, as YAML reads {sign} as the key of a mapping"
    if "string_type" in kinds and isinstance(given, int | float):
        return "; put it in quotes"
    if "string_type" in kinds and isinstance(given, list):
        return "; give one text and no list"
    if "list_type" in kinds and isinstance(given, str) and field_at(keys) and not is_secret(keys):
        return f"; put it in a list: {_as_list(given)}"
    if "list_type" in kinds and isinstance(given, dict) and None in given.values():
        sign = f"`{{{next(iter(given))}}}`"
        return f"; put it in a list and in quotes, as YAML reads {sign} without them as the key of a mapping"
    if "model_type" in kinds:
        section = section_at(keys)
        names = f", such as {', '.join(list(section.model_fields)[:3])}" if section else ""
        return "; give the section fields" + (", or take its line out" if given is None else names)
    if kinds & {"float_parsing", "int_parsing"} and isinstance(given, str) and "," in given:
        return "; write a point for a comma"
    if given is None:
        return "; give it a value, or take its line out"
    return "; take it out" if "invalid_key" in kinds else ""


def _as_list(given: str) -> str:
    """A text as YAML's list of texts: commas divide words, but not prompts."""
    texts = [given] if "{" in given and not given.startswith("[") else given.strip("[] ").split(",")
    return json.dumps([text.strip(" \"'") for text in texts], ensure_ascii=False)[:_SHOWN]

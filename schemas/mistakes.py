"""What pydantic finds wrong with a spec, in words: each mistake once, a typo as the typo that it is."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from schemas.field_paths import section_at, section_of
from schemas.job import JobSpec


class Mistake(NamedTuple):
    """keys: the path of the field in the spec; text: what is wrong with it, and what to do."""

    keys: tuple[str, ...]
    text: str


def mistakes_of(problem: ValidationError) -> list[Mistake]:
    """All mistakes, one a field. A field that is missing under its name and there under a like one is one mistake."""
    found = _by_field(problem)
    missing = {keys for keys, errors in found.items() if errors[0]["type"] == "missing"}
    meant = set()
    mistakes = []
    for keys, errors in found.items():
        if errors[0]["type"] == "extra_forbidden":
            near, hint = _known(keys, missing)
            meant.add((*keys[:-1], near))
            mistakes.append(Mistake(keys, f"unknown key `{'.'.join(keys)}`; {hint}"))
        elif errors[0]["type"] != "missing":
            mistakes.append(Mistake(keys, f"{'.'.join(keys) or 'the spec'}: {_wrong(errors)}"))
    lacking = sorted(missing - meant)
    return mistakes + [Mistake(keys, f"`{'.'.join(keys)}` is missing; see docs/job-spec.md") for keys in lacking]


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


def together(mistakes: Sequence[str]) -> str:
    """One mistake as it is, several numbered in one sentence."""
    if len(mistakes) == 1:
        return mistakes[0]
    return f"{len(mistakes)} mistakes: " + " ".join(f"({n}) {text}" for n, text in enumerate(mistakes, 1))


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


def _known(keys: tuple[str, ...], missing: set[tuple[str, ...]]) -> tuple[str, str]:
    """The key that was meant, if one is like this one (first of all one that is missing), and the words for it."""
    section = section_at(keys[:-1])
    known = list(section.model_fields) if section else []
    wanted = [name for name in known if (*keys[:-1], name) in missing]
    near = difflib.get_close_matches(keys[-1], wanted, n=1, cutoff=0.6) or difflib.get_close_matches(
        keys[-1], known, n=1, cutoff=0.4
    )
    return (near[0], f"did you mean `{near[0]}`?") if near else ("", f"known here: {', '.join(known)}")


_SHOWN = 200
"""Characters of a wrong value that a message repeats."""


def _wrong(errors: Sequence[Mapping[str, Any]]) -> str:
    """Why a value is refused; of the kinds that its field takes, each says why."""
    given, kind = errors[0]["input"], errors[0]["type"]
    messages = [str(error["msg"]).removeprefix("Value error, ") for error in errors]
    reasons = list(dict.fromkeys(message[:1].lower() + message[1:] for message in messages))
    text = ", or ".join(reasons)
    remedy = ""
    if kind == "string_type" and isinstance(given, int | float | dict):
        remedy = "; put it in quotes"
    elif kind == "model_type" and given is None:
        remedy = "; give the section fields, or take its line out"
    if isinstance(given, dict):
        return text + remedy
    shown = repr(given)
    return f"{text} (got {shown if len(shown) <= _SHOWN else f'{shown[:_SHOWN]}...'}){remedy}"

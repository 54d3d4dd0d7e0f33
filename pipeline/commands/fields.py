"""`unscene fields`: what the fields of a job are, from the fields themselves."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.described import Field, bundled, fields, meaning, sections, within
from schemas.errors import CommandError
from schemas.nearest import nearest


def field_lines(name: str | None) -> Iterator[str]:
    """For a person: the sections of a job, or the fields of a section, or one field.

    Raises CommandError where nothing is called so, with the fields that may be meant.
    """
    if name is None:
        for field in fields():
            if "." not in field.name:
                yield from _told(field)
        for section in sections():
            yield from (section, f"    {_flowing(meaning(section))}")
        yield "the fields of a section, or one: unscene fields extract, unscene fields extract.phase1.steps"
        return
    found = fields(name)
    if not found:
        keys = tuple(name.split("."))
        meant = [".".join(near) for near in nearest(keys, ())] or [
            field.name for field in fields() if field.name.rpartition(".")[2] == keys[-1]
        ]
        remedy = f"did you mean {' or '.join(meant)}?" if meant else f"there are {', '.join(sections())}"
        raise CommandError(f"fields {name}: a job has no field or section of that name; {remedy}")
    if name in sections():
        yield _flowing(meaning(name))
    inner = within(name) or {
        section: text for section, text in within(name.partition(".")[0]).items() if section == name
    }
    yield from (f"{section}: {text}" for section, text in inner.items())
    for field in found:
        yield from _told(field)


def _told(field: Field) -> Iterator[str]:
    default = field.default if field.default == "required" else f"default {field.default}"
    others = "".join(f" ({value} with {model})" for model, value in bundled(field.name))
    yield f"{field.name}: {field.kind}; {default}{others}{'; changes results' if field.result else ''}"
    yield f"    {field.meaning}"


def _flowing(text: str) -> str:
    return " ".join(text.split())

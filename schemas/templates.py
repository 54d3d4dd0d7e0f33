"""Prompts with places for handles: all of a subset in one place, or concepts named one by one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence

HANDLES = "{handles}"
LAST_CONCEPT = 16
"""Index of the last concept that a scene can have: `segment.max_concepts` ends at 16, and the background may come
behind them."""

Name = int | str
"""How a template names a concept: by its index, or by its word, in small letters."""

_BRACED = re.compile(r"\{([^{}]*)\}")
_INDEX = re.compile(r"0|[1-9][0-9]*")
_WORD = re.compile(r"(?=.*[^\W\d_])\w[\w '&/-]*")
_CALLED = re.compile(r"(?:asset|concept|handle)[ _-]?([0-9]+)", re.IGNORECASE)


def fill_template(template: str, names: Sequence[str]) -> str:
    """`a photo of {handles}` with ["<asset1>", "<asset0>"] -> `a photo of <asset1> and <asset0>`."""
    return template.replace(HANDLES, " and ".join(names))


def check_template(template: str) -> str:
    """The template as it is. Raises ValueError where it has no place for a handle, places of both kinds, or braces that
    are no place."""
    rest = _BRACED.sub("", template)
    if "{" in rest or "}" in rest:
        raise ValueError(f"the prompt {template!r} has a brace without the other one; close it, or take it out")
    braced = list(dict.fromkeys(_BRACED.findall(template)))
    if not braced:
        raise ValueError(f"the prompt {template!r} needs {{handles}}, or concepts one by one, such as {{0}} or {{cat}}")
    others = [inner for inner in braced if f"{{{inner}}}" != HANDLES]
    for inner in others:
        _check_name(template, inner)
    if 0 < len(others) < len(braced):
        raise ValueError(
            f"the prompt {template!r} has {{handles}} and {{{others[0]}}}; have all of a subset in one place, or name "
            "each concept, in prompts of their own"
        )
    return template


def _check_name(template: str, inner: str) -> None:
    """Raises ValueError where what stands in braces names no concept."""
    called = _CALLED.fullmatch(inner.strip())
    meant = f"{{{int(called[1])}}}" if called else HANDLES
    if called or difflib.SequenceMatcher(None, inner.strip().casefold(), "handles").ratio() > 0.9:
        raise ValueError(f"the prompt {template!r} has {{{inner}}}; did you mean {meant}?")
    if _INDEX.fullmatch(inner):
        if int(inner) > LAST_CONCEPT:
            raise ValueError(
                f"the prompt {template!r} names concept {inner}, and no scene has more than {LAST_CONCEPT + 1}; name "
                f"one from {{0}} to {{{LAST_CONCEPT}}}"
            )
    elif not _WORD.fullmatch(inner):
        raise ValueError(
            f"the prompt {template!r} has {{{inner}}}, which names no concept; write {{handles}}, an index such as "
            "{0}, or a word such as {cat}"
        )


def plain_word(word: str) -> str:
    """As words are compared: in small letters, with single spaces."""
    return " ".join(word.split()).casefold()


def _name(inner: str) -> Name:
    return int(inner) if _INDEX.fullmatch(inner) else plain_word(inner)


def named_in(template: str) -> list[Name]:
    """The names by which a template asks for concepts one by one, each once, as they stand in it; empty for one with
    `{handles}`."""
    return [] if HANDLES in template else list(dict.fromkeys(map(_name, _BRACED.findall(template))))


def named_concepts(template: str, words: Sequence[str]) -> dict[Name, int] | None:
    """Name -> index of the concept that it stands for in a scene; None where the scene lacks one of them.

    words: one a concept, by index. Different names are different concepts: a word stands for the first concept of that
    word which the template does not name by its index.
    """
    found: dict[Name, int] = {}
    asked = named_in(template)
    for name in asked:
        if isinstance(name, int):
            own = [name] if name < len(words) else []
        else:
            own = [i for i, word in enumerate(words) if plain_word(word) == name and i not in asked]
        if not own:
            return None
        found[name] = own[0]
    return found


def fill_names(template: str, called: Mapping[Name, str]) -> str:
    """`{0} beside {cat}` with {0: "<asset0>", "cat": "<asset2>"} -> `<asset0> beside <asset2>`."""
    return _BRACED.sub(lambda match: called[_name(match[1])], template)

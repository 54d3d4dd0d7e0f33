"""What YAML can write and run.json cannot hold: half a character, raw bytes, a section that holds itself."""

from __future__ import annotations

from typing import Any

from schemas.mistakes import Mistake
from schemas.secrets import MASK, is_secret

DEEPEST = 100
"""Sections within sections; pydantic writes 255."""


def unwritable(tree: dict[str, Any]) -> tuple[dict[str, Any], list[Mistake]]:
    """The tree of a spec with all that no record and no path can hold put aside, so that the rest of it can be checked,
    and a mistake for each."""
    checking = _Checking()
    return checking.checked(tree, ()), checking.mistakes


class _Checking:
    """One walk. What an alias repeats is looked at once."""

    def __init__(self) -> None:
        self.mistakes: list[Mistake] = []
        self._done: dict[int, Any] = {}
        self._within: set[int] = set()

    def checked(self, value: Any, keys: tuple[str, ...]) -> Any:
        """A copy without what is refused."""
        if isinstance(value, str):
            return self._text(value, keys)
        if isinstance(value, bytes):
            return self._refused(keys, "raw bytes have no place in a job spec; write a text in quotes", "")
        if not isinstance(value, dict | list | tuple | set):
            return value
        if id(value) in self._within:
            return self._refused(keys, "it is an alias (`*name`) of a section that it is a part of; write it out", None)
        if id(value) in self._done:
            return self._done[id(value)]
        if len(keys) > DEEPEST:
            return self._refused(keys[:2], f"more than {DEEPEST} sections within sections", None)
        self._within.add(id(value))
        copy: Any
        if isinstance(value, dict):
            copy = {
                key: self.checked(item, (*keys, str(key))) for key, item in value.items() if self._is_key(key, keys)
            }
        else:
            copy = type(value)(self.checked(item, (*keys, str(index))) for index, item in enumerate(value))
        self._within.remove(id(value))
        self._done[id(value)] = copy
        return copy

    def _is_key(self, key: Any, keys: tuple[str, ...]) -> bool:
        return not isinstance(key, str) or self._text(key, (*keys, key)) == key

    def _text(self, text: str, keys: tuple[str, ...]) -> str:
        whole = _escaped(text)
        if whole != text:
            got = MASK if is_secret(keys) and text != keys[-1] else whole
            return str(self._refused(keys, f"half of a character is no text (got '{got}'); write it whole", whole))
        if "\0" in text:
            shown = text.replace("\0", "\\0")
            got = MASK if is_secret(keys) and text != keys[-1] else shown
            return str(self._refused(keys, f"no text and no path holds a NUL (got '{got}'); take it out", shown))
        return text

    def _refused(self, keys: tuple[str, ...], why: str, instead: Any) -> Any:
        self.mistakes.append(Mistake(keys, f"{_escaped('.'.join(keys))}: {why}"))
        return instead


def _escaped(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")

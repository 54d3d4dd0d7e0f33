"""Classes: what the words of concepts become, and the number that a class has in every picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from schemas.errors import CommandError, SpecError
from schemas.yaml_text import keys_twice, parse

UNNAMED = "object"
"""The word of a concept that nobody has named."""
REST = "*"
"""In a map: every word that it does not name."""


@dataclass(frozen=True)
class ClassMap:
    """classes: word -> class, None: left out. A word that is not there is its own class, or what `*` says."""

    classes: Mapping[str, str | None] = field(default_factory=dict)

    def of(self, word: str | None) -> str | None:
        """The class of a concept with that word; None where it is left out."""
        word = _plain(word)
        if word in self.classes:
            return self.classes[word]
        return self.classes.get(REST, word)

    def idle(self, words: Iterable[str | None]) -> list[str]:
        """Words of the map that none of these is."""
        there = {_plain(word) for word in words}
        return [word for word in self.classes if word not in there and word != REST]


def _plain(word: str | None) -> str:
    """The word without the spaces around it, and with one where there are several: nobody sees that they differ."""
    return " ".join((word or "").split()) or UNNAMED


def read_class_map(file: Path) -> ClassMap:
    """A map as a person writes it: `dog: animal`, a line a word. Raises CommandError where it is none."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"--classes {file}: it cannot be read ({error}); name a YAML file in UTF-8") from None
    try:
        node, tree = parse(text, str(file))
    except SpecError as error:
        raise CommandError(f"--classes {error}") from None
    if not isinstance(tree, dict) or not tree:
        raise CommandError(f"--classes {file}: write a line for each word, such as `dog: animal`, or `tree: null`")
    for twice in keys_twice(node):
        raise CommandError(
            f"--classes {file}:{twice.later}: {twice.dotted} stands in line {twice.first} already; take one out"
        )
    for word, class_ in tree.items():
        for value in (word, class_):
            if value is not None and (not isinstance(value, str) or not value.strip()):
                raise CommandError(
                    f"--classes {file}: {word}: {class_!r}: a word and its class are texts, and null leaves a word "
                    f'out; put what looks like something else in quotes: "{value}"'
                )
        if word is None:
            raise CommandError(f"--classes {file}: null is no word; concepts without one are of the word {UNNAMED}")
    found: dict[str, str | None] = {}
    for word, class_ in tree.items():
        if _plain(word) in found:
            raise CommandError(
                f"--classes {file}: {word!r} stands there already, but for its spaces, which do not count; take one out"
            )
        found[_plain(word)] = class_ and _plain(class_)
    return ClassMap(found)


@dataclass(frozen=True)
class Classes:
    """names: of the classes, in the order of their numbers, which count from 1."""

    names: tuple[str, ...]

    def number(self, name: str) -> int:
        """The number that the class has in masks and annotations, from 1."""
        return self.names.index(name) + 1

    def with_more(self, names: Iterable[str]) -> Classes:
        """The same with those that are new after them, in alphabetical order: a number stays what it is."""
        return Classes((*self.names, *sorted(set(names) - set(self.names))))

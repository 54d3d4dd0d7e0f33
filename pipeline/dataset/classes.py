"""Classes: what the words of concepts become, and the number that a class has in every picture."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from schemas.errors import CommandError, SpecError
from schemas.yaml_text import keys_twice, parse

UNNAMED = "object"
"""The word of a concept that nobody has named."""
REST = "*"
"""In a map: every word that it does not name."""
_TAG = "tag:yaml.org,2002:"
_READ_AS = {"bool": "true or false", "int": "a number", "float": "a number"}
_HALF = re.compile("[\ud800-\udfff]")
"""Of a character that takes two of them, which YAML lets somebody write by itself."""


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
    for typed, meant in _lines(node):
        if fault := _fault(typed, meant):
            raise CommandError(f"--classes {file}:{fault}")
    for twice in keys_twice(node):
        raise CommandError(
            f"--classes {file}:{twice.later}: {twice.dotted} stands in line {twice.first} already; take one out"
        )
    found: dict[str, str | None] = {}
    for word, class_ in tree.items():
        if _plain(word) in found:
            raise CommandError(
                f"--classes {file}: {word!r} stands there already, but for its spaces, which do not count; take one out"
            )
        found[_plain(word)] = class_ and _plain(class_)
    return ClassMap(found)


def _lines(node: yaml.Node | None, within: tuple[int, ...] = ()) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    """Words and classes as they are typed, with those that a `<<` brings in, once: within itself it brings nothing."""
    if id(node) in within:
        return
    for part in node.value if isinstance(node, yaml.SequenceNode) else [node]:
        for word, class_ in part.value if isinstance(part, yaml.MappingNode) else ():
            if word.tag == f"{_TAG}merge":
                yield from _lines(class_, (*within, id(node)))
            else:
                yield word, class_


def _fault(word: yaml.Node, class_: yaml.Node) -> str | None:
    """Line and sentence of what is wrong with a line of a map, by what was typed there: YAML reads `no` as false."""
    nameless = f"concepts without one are of the word {UNNAMED}"
    if word.tag == f"{_TAG}null":
        typed = word.value or "nothing"
        return f'{_at(word)}: {typed} is no word; {nameless}; a thing called so stands in quotes: "{typed}"'
    if fault := _no_text(word, "word", nameless):
        return f"{_at(word)}: {fault}"
    if class_.tag != f"{_TAG}null" and (fault := _no_text(class_, "class", "name one, or write null to leave it out")):
        return f"{_at(class_)}: {_escaped(word.value)}: {fault}"
    return None


def _at(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _no_text(node: yaml.Node, what: str, nothing: str) -> str | None:
    """Why what is typed is no word, or no class."""
    kind, typed = node.tag.removeprefix(_TAG), node.value
    if not isinstance(typed, str):
        return f"a {what} is one text, and no list or section; write a line for each word"
    if kind != "str":
        read = f"YAML reads {typed} as {_READ_AS.get(kind, kind)}, and a {what} is a text"
        return f'{read}; put it in quotes: "{typed}"'
    if not typed.strip():
        return f"an empty text is no {what}; {nothing}"
    if half := _HALF.search(typed):
        return f"{_escaped(half[0])} is half of a character, which no file holds; write the character itself"
    return None


def _escaped(text: str) -> str:
    """The text with what no terminal shows written out."""
    return text.encode("utf-8", "backslashreplace").decode()


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

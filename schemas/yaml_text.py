"""YAML as a person wrote it: its text in whatever encoding, its values as they look, the keys that stand twice."""

from __future__ import annotations

import codecs
import difflib
import json
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from schemas.errors import SpecError
from schemas.shipped import job_names


class Twice(NamedTuple):
    """A key that one section holds twice: its dotted name, and the lines of the first and of the later one."""

    dotted: str
    first: int
    later: int


def read_text(file: Path) -> str:
    """The text of a UTF-8 file, or of one in UTF-16 that says so by its first bytes, as some editors write.

    Raises SpecError when it cannot be read, naming the line of a byte that is no UTF-8.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise SpecError(f"{file}: cannot read the job spec ({error.strerror or error}); {_meant(file)}") from None
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SpecError(
            f"{file}:{line}: not {encoding.removesuffix('-sig').upper()} (byte 0x{data[error.start]:02x}); save the "
            "job spec as UTF-8"
        ) from None


def _meant(file: Path) -> str:
    """What to do where there is no job spec."""
    if file.is_dir():
        if (file / "run.json").is_file():
            return "this folder is the output of a job; name the YAML file of the job"
        inside = sorted(path.name for path in file.glob("*.y*ml"))
        return f"it is a folder; name a YAML file{f', such as {file / inside[0]}' if inside else ''}"
    beside = {path.name: path for path in file.parent.glob("*.y*ml")} if file.parent.is_dir() else {}
    near = difflib.get_close_matches(file.name, list(beside), n=1) or [
        name for name in (f"{file.name}.yaml", f"{file.name}.yml") if name in beside
    ]
    if near:
        return f"did you mean {beside[near[0]]}?"
    shipped = difflib.get_close_matches(str(file), job_names(), n=1)
    meant = f"did you mean `{shipped[0]}`? " if shipped else ""
    return f"{meant}name a file, or one of the jobs that ship with Unscene: {', '.join(job_names())}"


def parse(text: str, name: str) -> tuple[yaml.Node | None, Any]:
    """The nodes of a YAML text, which know their lines, and the values that they stand for. Neither: an empty text.

    name: of the file, for messages. Raises SpecError naming the line that is no YAML.
    """
    try:
        node = yaml.compose(text, Loader=_AsItLooks)
        if (heavy := _too_much(node)) is not None:
            raise SpecError(f"{name}:{heavy[0]}: {heavy[1]}")
        return node, yaml.load(text, Loader=_AsItLooks)
    except RecursionError:
        raise SpecError(f"{name}: sections within sections without end; `unscene jobs` shows how one looks") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SpecError(
            f"{name}:{line}: not valid YAML: the character #x{error.character:04x} has no place in it; save the job "
            "spec as plain text in UTF-8"
        ) from None
    except yaml.MarkedYAMLError as error:
        where = f"{name}:{error.problem_mark.line + 1}" if error.problem_mark else name
        problem = str(error.problem or error.context)
        raise SpecError(f"{where}: not valid YAML: {problem}{_remedy(text, error)}") from None


_BARE = re.compile(r"""(?:^|[-:,\[])\s*(\{\w*\}[^"'\]}]*)$""")
"""A text at the end of a line that begins with a brace, outside quotes."""


def _remedy(text: str, error: yaml.MarkedYAMLError) -> str:
    """What to do about a text that is no YAML, where its own words do not say it."""
    problem, lines = str(error.problem), text.splitlines()
    marks = [mark for mark in (error.problem_mark, error.context_mark) if mark is not None]
    near = [line for mark in marks for line in lines[max(0, mark.line - 1) : mark.line + 1]]
    for line in near:
        if bare := _BARE.search(line.split(" #")[0].rstrip().rstrip("]").rstrip()):
            said = json.dumps(bare[1].strip(), ensure_ascii=False)
            return f"; a text that begins with a brace stands in quotes: {said}"
    if "'\\t'" in problem:
        return "; indent with spaces, YAML takes no tabs"
    if problem.startswith("mapping values are not allowed"):
        return "; put a text with `: ` in it in quotes, or look at the indentation of this line"
    if problem.startswith("could not find expected ':'"):
        return "; a key ends in `:`, and a text of several lines stands in quotes"
    if problem.startswith(("found character '@'", "found character '`'", "found character '%'")):
        return "; put the text in quotes"
    return ""


def parse_value(text: str) -> Any:
    """What a text on the command line stands for in YAML; the text itself where YAML would read only a part of it, as
    a `#` begins a comment, or none of it."""
    text = text.strip()
    try:
        node = yaml.compose(text, Loader=_AsItLooks)
        if (heavy := _too_much(node)) is not None:
            raise SpecError(heavy[1])
        if node is None or (node.start_mark.index, node.end_mark.index) != (0, len(text)):
            return text
        return yaml.load(text, Loader=_AsItLooks)
    except RecursionError:
        raise SpecError("sections within sections without end; give the value alone") from None
    except yaml.YAMLError:
        return text


MOST_VALUES = 100_000
"""Values of a spec with its aliases written out: a thousand times those of a long one."""


def _too_much(node: yaml.Node | None) -> tuple[int, str] | None:
    """Line and sentence for aliases that stand for more than any spec holds: nine lines of them fill a machine's
    memory. An alias within what it stands for counts once; `unwritable` tells of it."""
    sizes: dict[int, int] = {}
    lines: list[int] = []

    def size(node: yaml.Node) -> int:
        if id(node) not in sizes:
            sizes[id(node)] = 1
            parts = node.value if isinstance(node, yaml.CollectionNode) else []
            sizes[id(node)] += sum(map(size, parts if isinstance(node, yaml.SequenceNode) else chain(*parts)))
            if sizes[id(node)] > MOST_VALUES:
                lines.append(node.start_mark.line + 1)
        return sizes[id(node)]

    if node is None or (count := size(node)) <= max(MOST_VALUES, 10 * len(sizes)):  # many that are written out are fine
        return None
    many = f"{count:,}" if count < 10**12 else "more than a million million"
    return lines[0], f"its aliases (`*name`) stand for {many} values; a spec has a few hundred: write out what is meant"


def keys_twice(node: yaml.Node | None) -> list[Twice]:
    """The keys that stand twice in one section, at any depth. YAML would take the later ones without a word."""
    return list(_twice(node, (), set()))


def _twice(node: yaml.Node | None, path: tuple[str, ...], seen: set[int]) -> Iterator[Twice]:
    if id(node) in seen:  # an alias: its anchor has been looked at, and may hold the alias itself
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _twice(item, (*path, str(index)), seen)
    elif isinstance(node, yaml.MappingNode):
        lines: dict[tuple[str, str], int] = {}
        for key, value in node.value:
            within = path
            if isinstance(key, yaml.ScalarNode):
                within, line, name = (*path, str(key.value)), key.start_mark.line + 1, (key.tag, str(key.value))
                if name in lines and key.tag != _MERGE:
                    yield Twice(".".join(within), lines[name], line)
                lines.setdefault(name, line)
            yield from _twice(value, within, seen)


_SHOWN = 40
"""Characters of a value that a message repeats."""

_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"
_REREAD = {f"{_TAG}int", f"{_TAG}float", f"{_TAG}timestamp"}


class _AsItLooks(yaml.SafeLoader):
    """PyYAML reads YAML 1.1, where 0100 is 64, 1:30 is 90 and 2024-01-01 no text. Here they stay text, which a field
    for a number reads as a person does: 0100 is 100, and 1:30 is none."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Raises ConstructorError, which knows its line, for a value that is none of its kind (`!!int x`) or a number
        of more digits than Python writes."""
        try:
            value = super().construct_object(node, deep)
            if isinstance(value, int):
                str(value)
        except (ValueError, LookupError) as error:
            text = str(node.value)
            shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)} characters)"
            kind = node.tag.removeprefix(_TAG)
            raise yaml.constructor.ConstructorError(
                None, None, f"{shown} cannot be read as {kind}; correct it, or put a text in quotes", node.start_mark
            ) from error
        return value


_AsItLooks.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag not in _REREAD]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_AsItLooks.add_implicit_resolver(
    f"{_TAG}int", re.compile(r"[-+]?(?:0|[1-9][0-9_]*|0b[01_]+|0x[0-9a-fA-F_]+)\Z"), list("-+0123456789")
)
_AsItLooks.add_implicit_resolver(
    f"{_TAG}float",
    re.compile(
        r"(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|[-+]?\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
    ),
    list("-+0123456789."),
)

"""From a YAML file and `--set a.b=c` overrides to a `JobSpec`, or one sentence that says which lines are wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from schemas.errors import Mistakes, SpecError
from schemas.job import JobSpec
from schemas.mistakes import Mistake, check
from schemas.overrides import apply, setter_of
from schemas.secrets import masked_setting
from schemas.shipped import is_job, job_text
from schemas.writable import unwritable
from schemas.yaml_text import keys_twice, parse, read_text


def load_spec(path: str | Path, overrides: Sequence[str] = ()) -> JobSpec:
    """Reads a job spec.

    path: of the file, or the name of a job that ships, such as `demo`, where no file is called so.
    overrides: `a.b.c=value` strings; values are YAML, so `100`, `true` and `[a, b]` mean what they look like. Of two
    for the same field the later one counts.
    Raises SpecError naming file, line and the nearest known key, of all mistakes that there are.
    """
    file = Path(path)
    found: list[tuple[int, str]] = []
    node, tree = _parsed(file, overrides)
    found += [
        (
            twice.later,
            f"{file}:{twice.later}: `{twice.dotted}` stands there twice, first in line {twice.first}; keep one, with "
            "all that is meant",
        )
        for twice in keys_twice(node)
    ]
    refused = {}
    for override in overrides:
        try:
            apply(tree, override)
        except SpecError as error:
            refused[override] = str(error)
    found += [(0, text) for text in refused.values()]

    def told(mistake: Mistake) -> tuple[int, str]:
        setter = setter_of(mistake.keys, overrides)
        line = _line(node, mistake.keys)
        where = f"--set {masked_setting(setter)}" if setter is not None else f"{file}:{line}"
        return line, f"{where}: {mistake.text}"

    tree, unfit = unwritable(tree)
    spec, mistakes = check(tree)
    known = {mistake.keys for mistake in unfit}
    mistakes = [
        mistake
        for mistake in mistakes
        if mistake.keys not in known and not (mistake.missing and setter_of(mistake.keys, list(refused)))
    ]
    found += map(told, [*unfit, *mistakes])
    if spec is None or found:
        raise SpecError(*[text for _, text in sorted(found, key=lambda one: one[0])])
    return spec


def _parsed(file: Path, overrides: Sequence[str]) -> tuple[yaml.Node | None, dict[str, Any]]:
    """The file's nodes and values. Raises SpecError, with what is wrong with the overrides as they are typed."""
    try:
        node, tree = parse(job_text(file) if is_job(file) else read_text(file), str(file))
        if not isinstance(tree, dict):
            raise SpecError(
                f"{file}: a job spec is a mapping with at least `source` and `output`; see `unscene jobs demo`"
            )
        return node, tree
    except SpecError as error:
        mistakes = Mistakes()
        for override in overrides:
            with mistakes.told_later():
                apply({}, override)
        with mistakes.told_later():
            raise error
        mistakes.tell()
        raise


def spec_from(tree: dict[str, Any], origin: str) -> JobSpec:
    """A spec from an already parsed tree, such as the one in run.json; errors name `origin`."""
    spec, mistakes = check(tree)
    if spec is None:
        raise SpecError(*[f"{origin}: {mistake.text}" for mistake in mistakes])
    return spec


def _line(node: yaml.Node | None, keys: Sequence[str]) -> int:
    """Line of a key, or of its nearest section when the key is not in the file."""
    line = 1
    for key in keys:
        if isinstance(node, yaml.MappingNode):
            found = [(name, value) for name, value in node.value if name.value == key]
            if not found:
                break
            line, node = found[-1][0].start_mark.line + 1, found[-1][1]
        elif isinstance(node, yaml.SequenceNode) and key.isdigit() and int(key) < len(node.value):
            node = node.value[int(key)]
            line = node.start_mark.line + 1
    return line

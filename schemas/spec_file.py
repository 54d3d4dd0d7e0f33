"""From a YAML file and `--set a.b=c` overrides to a `JobSpec`, or one sentence that says which lines are wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from schemas.errors import SpecError
from schemas.job import JobSpec
from schemas.mistakes import Mistake, mistakes_of, together
from schemas.overrides import apply, setter_of
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
    node, tree = parse(job_text(file) if is_job(file) else read_text(file), str(file))
    if not isinstance(tree, dict):
        raise SpecError(f"{file}: a job spec is a mapping with at least `source` and `output`; see `unscene jobs demo`")
    found: list[tuple[int, str]] = [
        (
            twice.later,
            f"{file}:{twice.later}: `{twice.dotted}` stands there twice, first in line {twice.first}; keep one, with "
            "all that is meant",
        )
        for twice in keys_twice(node)
    ]
    for override in overrides:
        apply(tree, override)

    def told(mistake: Mistake) -> tuple[int, str]:
        setter = setter_of(mistake.keys, overrides)
        line = _line(node, mistake.keys)
        where = f"--set {setter}" if setter is not None else f"{file}:{line}"
        return line, f"{where}: {mistake.text}"

    tree, refused = unwritable(tree)
    found += map(told, refused)
    try:
        spec = JobSpec.model_validate(tree)
    except ValidationError as problem:
        known = {mistake.keys for mistake in refused}
        found += [told(mistake) for mistake in mistakes_of(problem) if mistake.keys not in known]
    if found:
        raise SpecError(together([text for _, text in sorted(found, key=lambda one: one[0])]))
    return spec


def spec_from(tree: dict[str, Any], origin: str) -> JobSpec:
    """A spec from an already parsed tree, such as the one in run.json; errors name `origin`."""
    try:
        return JobSpec.model_validate(tree)
    except ValidationError as problem:
        raise SpecError(together([f"{origin}: {mistake.text}" for mistake in mistakes_of(problem)])) from None


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

"""Writes docs/job-spec.md from the job spec's own fields: `python docs/make_job_spec.py`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from schemas.bundled import SETTINGS
from schemas.described import Field, fields, meaning, sections, within

PAGE = Path(__file__).with_name("job-spec.md")
HEAD = """\
# Job spec

Generated from the fields of `schemas/job.py` and the files of its sections by `python docs/make_job_spec.py`.

A job is one YAML file; `unscene fields` shows its fields in a terminal. `source` and `output` are required, everything
else has a default. Ready ones to copy are in
[jobs/](../jobs). Any field can be overridden on the command line, with a YAML value:

```
unscene run jobs/demo.yaml --set extract.phase1.steps=100 --set "generate.subsets=[union]"
```

A section given in part keeps its defaults for the rest. The model `seedling` changes some of them, see
[models](#models). An unknown key, one that stands twice, a value of the wrong type and a value out of range are errors
that name file, line and remedy, all of them at once; nothing is started. Names that other people's scripts have for a
field (`learning_rate`, `num_images`) are answered with the field's own. In a path `~` is read and `$HOME` is not, and a
relative one counts from the folder in which the command is typed. Numbers are read as they look (`0100` is 100),
and a field for text takes the value of `--set` as it is typed.

**Changes results** says whether a field is part of the run's fingerprint. A finished or half-finished output goes on
only with the same fingerprint, but for fields that only stages to come read (after `--until segment` those of
`extract`, `generate` and `evaluate`); fields marked *no* may be changed at any time between runs. In place of the
models, of `source.coco`, of `generate.accelerate` and of `generate.place.given` the fingerprint holds their content (or
revision), so a moved model is the same model.
In a job that starts from `source.handles`, only `seed`, `models.base`, `models.revision`, `models.dtype`, `generate`
and `evaluate` count, together with the fingerprint of the job that learned the handles; with `evaluate.enabled` also
the judges, `models.sam` and `segment`. `generate.mode` and `generate.place` count where something is placed.
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD, _table([field for field in fields() if "." not in field.name])]
    for name in sections():
        parts.append(f"## {name}\n\n{meaning(name)}\n")
        if inner := within(name):
            parts.append("".join(f"- `{section}`: {text}\n" for section, text in inner.items()))
        parts += [*([_bundled()] if name == "models" else []), _table(fields(name))]
    return "\n".join(parts)


def _bundled() -> str:
    """What each bundled model sets."""
    brought = [
        f"`models.{role}: {name}` sets {', '.join(_settings(sections))}"
        for role, bundles in SETTINGS.items()
        for name, sections in bundles.items()
    ]
    return (
        f"A model that ships with Unscene brings the settings that suit it: {'; '.join(brought)}. They go under "
        "what the spec says itself, field by field, and under the settings of `extract.method`; every other model "
        "has the defaults of these tables. What was filled in stands in run.json and is part of the "
        "fingerprint.\n"
    )


def _settings(tree: Mapping[str, Any], prefix: str = "") -> list[str]:
    """`section.field` and value of every setting of a tree."""
    found: list[str] = []
    for name, value in tree.items():
        below = isinstance(value, Mapping)
        found += _settings(value, f"{prefix}{name}.") if below else [f"`{prefix}{name}` {json.dumps(value)}"]
    return found


def _table(shown: list[Field]) -> str:
    rows = ["| Field | Type | Default | Meaning | Changes results |", "|---|---|---|---|---|"]
    for field in shown:
        default = field.default if field.default in ("required", "none") else f"`{field.default}`"
        text = field.meaning.replace("|", "\\|")
        rows.append(f"| `{field.name}` | {field.kind} | {default} | {text} | {'yes' if field.result else 'no'} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

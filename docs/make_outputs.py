"""Writes the column tables of outputs.md and protocol.md from the Arrow schemas: `python docs/make_outputs.py`.

Only what stands between `<!-- columns:TABLE -->` and `<!-- /columns -->` is written; the rest of a page is by hand.
"""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa

from schemas.records import PLAN, PROTOCOL, TABLES

PAGE = Path(__file__).with_name("outputs.md")
PROTOCOL_PAGE = Path(__file__).with_name("protocol.md")
_MARKED = re.compile(r"(<!-- columns:(\w+) -->\n).*?(<!-- /columns -->)", re.DOTALL)
_NAMES = {"string": "text", "bool": "true / false", "float": "float32", "double": "float64"}


def filled(page: str) -> str:
    """The page with every column table as the schemas have it now."""
    schemas = {**TABLES, "plan": PLAN, "protocol": PROTOCOL}
    return _MARKED.sub(lambda match: f"{match[1]}{_table(schemas[match[2]])}{match[3]}", page)


def marked(page: str) -> set[str]:
    """Names of the tables that the page shows."""
    return {match[2] for match in _MARKED.finditer(page)}


def _table(schema: pa.Schema) -> str:
    rows = ["| Column | Type | Meaning |", "|---|---|---|"]
    for column in schema:
        description = _prose(column.metadata[b"description"].decode())
        optional = ", may be null" if column.nullable else ""
        rows.append(f"| `{column.name}` | {_type(column.type)}{optional} | {description} |")
    return "\n".join(rows) + "\n"


def _prose(text: str) -> str:
    """Bars and, outside code, angle brackets would be taken for markup."""
    parts = text.replace("|", "\\|").split("`")
    return "`".join(part if number % 2 else part.replace("<", "&lt;") for number, part in enumerate(parts))


def _type(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"list of {_type(kind.value_type)}"
    if pa.types.is_struct(kind):
        return "struct of " + ", ".join(
            f"`{kind.field(i).name}` ({_type(kind.field(i).type)})" for i in range(kind.num_fields)
        )
    return _NAMES.get(str(kind), str(kind))


if __name__ == "__main__":
    for page in (PAGE, PROTOCOL_PAGE):
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")

"""Jinja for pages that show strangers' words: everything is escaped, and a name that is missing is an error."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined, Template


def load_template(package: str, filters: Mapping[str, Any] | None = None, **names: Any) -> Template:
    """`page.html.j2` of a package, with filters and names that it may use."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(filters or {})
    environment.globals.update(names)
    return environment.from_string(resources.files(package).joinpath("page.html.j2").read_text("utf-8"))

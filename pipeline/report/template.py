"""Jinja for pages that show strangers' words: everything is escaped, no credential of an address is shown, and a name
that is missing is an error."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup

from schemas.secrets import masked


def load_template(package: str, filters: Mapping[str, Any] | None = None, **names: Any) -> Template:
    """`page.html.j2` of a package, with filters and names that it may use; it may include others of the package."""
    files = resources.files(package)
    environment = Environment(
        loader=FunctionLoader(lambda name: files.joinpath(name).read_text("utf-8")),
        autoescape=True,
        finalize=_without_credentials,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters or {})
    environment.globals.update(names)
    return environment.get_template("page.html.j2")


def _without_credentials(value: Any) -> Any:
    """Before it is escaped. Pictures are data, and markup is our own."""
    if not isinstance(value, str) or isinstance(value, Markup) or value.startswith("data:"):
        return value
    return masked(value)

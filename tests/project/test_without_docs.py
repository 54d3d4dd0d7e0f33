"""What the program says stands on its own: a wheel has no docs, so no message, help or job sends anybody there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from schemas.described import fields, meaning, sections, within
from schemas.shipped import CODE
from tests.support import ROOT

PAGE = re.compile(r"\b(?:docs|jobs)/[\w-]+\.(?:md|ya?ml)\b|\b(?:CONTRIBUTING|benchmarks/README)\.md\b")
"""Files that a wheel lacks, or has elsewhere: `unscene fields` and `unscene jobs` show what is in them."""
FILES = sorted(file for name in CODE for file in (ROOT / name).rglob("*.py"))


def said(file: Path) -> Iterator[tuple[int, str]]:
    """Texts of the code that are no docstrings; of `unscene/`, which people ask for help, the docstrings too."""
    tree = ast.parse(file.read_text())
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        heard = id(node) not in alone or file.parent.name == "unscene"
        if heard and isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def test_no_message_names_a_page() -> None:
    found = [
        f"{file.relative_to(ROOT)}:{line}: {text}" for file in FILES for line, text in said(file) if PAGE.search(text)
    ]
    assert found == []


def test_no_field_or_section_names_a_page() -> None:
    told = {field.name: field.meaning for field in fields()}
    for name in sections():
        told |= {name: meaning(name), **within(name)}
    assert len(told) > 100
    assert {name: text for name, text in told.items() if PAGE.search(text)} == {}


@pytest.mark.parametrize("file", sorted((ROOT / "jobs").glob("*.yaml")), ids=lambda file: file.stem)
def test_no_job_names_a_page(file: Path) -> None:
    assert PAGE.findall(file.read_text()) == []


@pytest.mark.parametrize("command", [command.name or command.callback.__name__ for command in app.registered_commands])
def test_no_help_names_a_page(command: str) -> None:
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "300", "TERM": "dumb"}).output
    assert "Usage" in shown
    assert PAGE.findall(shown) == []

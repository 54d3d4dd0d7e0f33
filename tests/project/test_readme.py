"""The README and the pages it links to: commands that exist, files that are there, snippets that load."""

from __future__ import annotations

import hashlib
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from schemas.records import scene_id_of
from schemas.spec_file import load_spec
from tests.support import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(text: str) -> list[list[str]]:
    """Words of every `unscene ...` shown as code, up to a comment; `...` placeholders left out."""
    shown = re.findall(r"`(unscene [^`\n]*)`", text)
    for block in re.findall(r"^ *```(?:\w*)\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL):
        lines = block.replace("\\\n", " ").splitlines()
        shown += [match[1] for line in lines if (match := re.search(r"(?:^|\s|/)(unscene [a-z]+ .*)$", line))]
    found = [shlex.split(line.partition(" #")[0]) for line in shown]
    return [words for words in found if len(words) > 1 and words[1].isalpha() and words[1].islower()]


def yaml_snippets(text: str) -> list[str]:
    """YAML blocks that are whole job specs, their indentation in lists removed."""
    blocks = re.findall(r"^( *)```yaml\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    bodies = [re.sub(rf"^{indent}", "", body, flags=re.MULTILINE) for indent, body in blocks]
    return [body for body in bodies if re.search(r"^source:", body, re.MULTILINE)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_exists_with_its_options(page: Path) -> None:
    for words in commands(page.read_text()):
        answer = CliRunner().invoke(app, [words[1], "--help"], env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
        assert answer.exit_code == 0, f"{page.name}: {' '.join(words)}: no such command"
        known = set(re.findall(r"--[a-z]+", re.sub(r"\x1b\[[0-9;]*m", "", answer.output)))
        for word in words[2:]:
            if word.startswith("--"):
                assert word.partition("=")[0] in known, f"{page.name}: {' '.join(words)}: {word} is not among {known}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_linked_file_exists(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text) + re.findall(r'src="([^"]+)"', text)
    for link in links:
        if "://" not in link:
            target = (page.parent / link).resolve()
            if not target.exists():
                pytest.fail(f"{page.name} links to {link}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_spec_loads(page: Path, tmp_path: Path) -> None:
    for number, snippet in enumerate(yaml_snippets(page.read_text())):
        file = tmp_path / f"{number}.yaml"
        file.write_text(snippet)
        load_spec(file)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_spec_file_and_override_it_names_is_real(page: Path) -> None:
    overrides = re.findall(r"--set (\"[^\"]+\"|[\w.]+=[^\s`]+)", page.read_text())
    for override in overrides:
        name = override.strip('"')
        if not name.endswith("=..."):
            load_spec(ROOT / "jobs" / "demo.yaml", [name])
    for job in re.findall(r"\bjobs/\w+\.(?:yaml|sh)", page.read_text()):
        assert (ROOT / job).is_file(), f"{page.name} names {job}"


def test_the_readme_shows_every_command() -> None:
    shown = {words[1] for words in commands((ROOT / "README.md").read_text())}
    assert shown == {
        command.name or command.callback.__name__ for command in app.registered_commands if command.callback
    }


def test_the_scenes_it_names_are_in_the_demos_bucket() -> None:
    named = set(re.findall(r"--scene (\w+)", (ROOT / "README.md").read_text()))
    files = (ROOT / "demo" / "bucket").glob("scene-*")
    ids = [scene_id_of(hashlib.sha256(file.read_bytes()).hexdigest()) for file in files]
    assert named
    for prefix in named:
        assert sum(scene.startswith(prefix) for scene in ids) == 1, prefix


def test_the_readme_has_a_yaml_and_says_what_was_measured_where() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(yaml_snippets(text)) == 1
    assert len(commands(text)) >= 7
    assert re.search(r"\*\*Measured\*\* on two CPU cores .*\d+ min \d+ s", text, re.DOTALL)
    assert (ROOT / "docs" / "demo.webp").stat().st_size > 10_000

"""The README and the pages it links to: commands that exist, files that are there, snippets that load."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
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
def test_every_command_is_taken_as_it_is_typed(page: Path) -> None:
    """Arguments and the values of options too, up to where the command would begin its work."""
    known: Any = typer.main.get_command(app)
    for name, *words in (words[1:] for words in commands(page.read_text())):
        if words:  # a command that is only named takes nothing
            known.commands[name].make_context(name, words[: words.index(">")] if ">" in words else words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_module_and_target_that_is_typed_is_there(page: Path) -> None:
    text = page.read_text()
    for module in re.findall(r"python -m ([\w.]+)", text):
        assert importlib.util.find_spec(module), f"{page.name}: python -m {module}"
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z]+)(?=`| +#|$)", text, re.MULTILINE)) <= targets, page.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_linked_heading_exists(page: Path) -> None:
    for link, anchor in re.findall(r"\]\(([^)#\s]*)#([\w-]+)\)", page.read_text()):
        if "://" not in link:
            assert anchor in anchors((page.parent / link).resolve() if link else page), f"{page.name}: {link}#{anchor}"


def anchors(page: Path) -> set[str]:
    """What a link may name in a page: its headings, as GitHub writes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", re.sub(r"\]\([^)]*\)", "", heading).lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    }


QUESTIONS = {
    "exit codes": "exit-codes",
    "score masks": "reading-it",
    "delete a scene": "leave-a-scene-out-or-delete-it",
    "which GPU": "which-gpu",
    "how many steps": "how-many-steps",
    "masks that are wrong": "masks-that-are-wrong",
    "where the logs are": "where-the-logs-are",
}
"""What newcomers ask, as the list at the end of the README has it -> heading of the answer."""


def test_what_newcomers_ask_is_one_click_from_the_readme() -> None:
    listed = " ".join((ROOT / "README.md").read_text().partition("## Read on")[2].split())
    for question, heading in QUESTIONS.items():
        link = listed.index(f"#{heading})")
        assert question in listed[max(0, link - 100) : link + 50], question


def test_the_readme_leads_to_every_page() -> None:
    listed = (ROOT / "README.md").read_text().partition("## Read on")[2]
    for page in PAGES:
        assert page.parent != ROOT / "docs" or f"(docs/{page.name})" in listed, page.name


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
    for line in page.read_text().replace("\\\n", " ").splitlines():
        names = [name.strip('"') for name in re.findall(r"--set (\"[^\"]+\"|[\w.]+=[^\s`]+)", line)]
        real = [name for name in names if not name.endswith("=...")]
        if job := re.match(r"unscene run (place|augment)\b", line):  # overrides go together, and with that job alone
            load_spec(ROOT / "jobs" / f"{job[1]}.yaml", real)
        else:
            for name in real:
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
    assert re.search(
        r"\*\*Measured\*\* at the size of .* \(NVIDIA H200\).*two\s+CPU cores .*\d+ min \d+ s", text, re.DOTALL
    )
    assert (ROOT / "docs" / "demo.webp").stat().st_size > 10_000

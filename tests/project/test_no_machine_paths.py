"""No file of the project names a folder of the machine it was made on."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ROOT

MACHINE_PATH = re.compile(
    rb"(?:file://|(?<![\w.:/~{}$-]))/(?:home|root|Users|tmp|private)/\w[^\s\"'`]*"  # folders of a person or for a while
    rb"|\b[A-Za-z]:\\+Users\\"
    rb'|"_name_or_path":\s*"(?:/|~|[A-Za-z]:)[^"]*'  # what diffusers and transformers loaded a model from
)
MADE_HERE = {
    ".git",
    ".venv",
    "__pycache__",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    ".import_linter_cache",
    "build",
    "out",
}
"""Folders that are no part of the project: what .gitignore names, for a copy without git."""


def tracked() -> list[Path]:
    """Every file that git tracks; where there is no checkout, every file of the tree but what was made there."""
    asked = subprocess.run(["git", "ls-files", "-z", "--cached"], cwd=ROOT, capture_output=True)
    if (ROOT / ".git").exists() and asked.returncode == 0:
        names = [ROOT / os.fsdecode(name) for name in asked.stdout.split(b"\0") if name]
        return [path for path in names if path.is_file()]  # one that is deleted and not committed yet is not there
    return list(walked(ROOT))


def walked(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in MADE_HERE and not name.endswith(".egg-info")]
        yield from (Path(folder) / name for name in files if not name.endswith(".tmp"))


def machine_paths(content: bytes) -> list[str]:
    return [found.decode("utf-8", "replace") for found in MACHINE_PATH.findall(content)]


def test_no_file_names_a_folder_of_a_machine() -> None:
    """Pictures and weights too: they carry texts in their headers."""
    files = tracked()
    assert ROOT / "models" / "seedling" / "base" / "vae" / "config.json" in files
    assert ROOT / "tests" / "project" / "test_docs.py" in files
    found = {str(path.relative_to(ROOT)): paths for path in files if (paths := machine_paths(path.read_bytes()))}
    assert not found


def test_a_copy_without_git_is_searched_whole(tmp_path: Path) -> None:
    for name in ("a.json", "deep/er/b.py", ".ci/run", ".venv/bin/python", "out/demo/run.json", "x.egg-info/PKG-INFO"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert {str(path.relative_to(tmp_path)) for path in walked(tmp_path)} == {"a.json", "deep/er/b.py", ".ci/run"}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('"/{}/w/vae/final"'.format("tmp"), True),
        ("cd /{}/someone".format("home"), True),
        ("file:///{}/someone/x".format("Users"), True),
        ("C:\\\\{}\\\\someone".format("Users"), True),
        ('"{}": "/data/vae"'.format("_name_or_path"), True),
        ('"_name_or_path": "owner/model"', False),
        ("https://host.example/home/page", False),
        ("bucket/tmp/scenes, ~/.cache/unscene, /data/photos, a /tmp of one's own", False),
    ],
)
def test_what_is_a_folder_of_a_machine(text: str, named: bool) -> None:
    assert bool(machine_paths(text.encode())) is named

"""A wheel, built as `pip install` builds it and installed out of sight of the checkout, is the whole thing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from schemas.shipped import CODE
from stages.models.place import ModelField, model_revision
from tests.support import ROOT

NEEDED = (*CODE, "models", "jobs", "demo", "pyproject.toml", "setup.py", "README.md", "LICENSE", "NOTICE")
"""What a build reads of the checkout."""
MADE = shutil.ignore_patterns("__pycache__", "*.pyc")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built of a copy, so that the checkout gets no build folder; by way of a source distribution, which holds less."""
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    tree.mkdir()
    for name in NEEDED:
        source = ROOT / name
        _ = shutil.copytree(source, tree / name, ignore=MADE) if source.is_dir() else shutil.copy(source, tree)
    typed(["-c", "from setuptools.build_meta import build_sdist; build_sdist('..')"], tree)
    (source,) = folder.glob("unscene-*.tar.gz")
    pip = ["-m", "pip", "-q", "--disable-pip-version-check"]
    typed([*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", "..", str(source)], tree)
    (built,) = folder.glob("unscene-*.whl")
    typed([*pip, "install", "--no-deps", "--no-index", "--target", "../installed", str(built)], tree)
    return built


def typed(words: list[str], folder: Path, environment: dict[str, str] | None = None) -> str:
    """What `python WORDS` prints."""
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A working folder of a path that JSON and YAML have to quote."""
    folder = tmp_path / "no # thing: here"
    folder.mkdir()
    return folder


def installed(wheel: Path, folder: Path, *words: str) -> str:
    """What `python WORDS` prints in `folder`, with the wheel and the dependencies; -S: without an editable checkout."""
    paths = [str(wheel.with_name("installed")), sysconfig.get_paths()["purelib"], sysconfig.get_paths()["platlib"]]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)), "COLUMNS": "400"}
    return typed(["-S", *words], folder, environment)


def test_it_takes_no_name_that_is_anybody_s(wheel: Path) -> None:
    names = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {name for name in names if not name.endswith(".dist-info")} == {*CODE}


def test_it_holds_all_that_ships(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    code = [file for name in CODE for file in (ROOT / name).rglob("*") if file.suffix in (".py", ".j2")]
    assert {str(file.relative_to(ROOT)) for file in code} <= held
    data = [
        file
        for folder in ("models/seedling", "demo/bucket", "demo/parts", "demo/protocol")
        for file in (ROOT / folder).rglob("*")
        if file.is_file()
    ]
    data += [*(ROOT / "jobs").glob("*.yaml"), ROOT / "models" / "NOTICE", ROOT / "demo" / "NOTICE"]
    assert {f"unscene/bundled/{file.relative_to(ROOT)}" for file in data} == {
        name for name in held if name.startswith("unscene/bundled/")
    }


def test_its_demo_is_planned_in_an_empty_folder(wheel: Path, empty: Path) -> None:
    told = installed(wheel, empty, "-m", "pipeline", "plan", "demo")
    assert f"14 pictures, 173.8 kB, under {wheel.with_name('installed')}/unscene/bundled/demo/bucket" in told
    assert f"{empty}/out/demo holds no job yet" in told
    assert "nothing was written" in told
    assert list(empty.iterdir()) == []


def test_its_jobs_can_be_copied(wheel: Path, empty: Path) -> None:
    for job in ("demo", "protocol"):
        (empty / f"{job}.yaml").write_text(installed(wheel, empty, "-m", "unscene", "jobs", job))
    code = """
from pathlib import Path
from schemas.spec_file import load_spec
for job in ("demo", "protocol"):
    source = load_spec(f"{job}.yaml").source
    print(load_spec(job).source == source, all(Path(place).exists() for place in (source.uri, source.coco or "/")))
"""
    assert installed(wheel, empty, "-c", code).split() == ["True"] * 4


@pytest.mark.parametrize("field", ["models.base", "models.sam", "models.clip", "models.identity"])
def test_its_models_are_the_checkouts(wheel: Path, empty: Path, field: ModelField) -> None:
    """To the last byte: a job begun from a checkout goes on from a wheel."""
    asked = f"('seedling', {field!r})"
    code = f"from stages.models.place import *; print(locate{asked}, model_revision{asked})"
    place, revision = installed(wheel, empty, "-c", code).split()
    assert place.startswith(str(wheel.with_name("installed")))
    assert revision == model_revision("seedling", field)


def test_a_cluster_is_sent_the_packages_and_not_the_environment(wheel: Path, empty: Path) -> None:
    code = """
from pipeline.scheduling.sent_code import sent_code
with sent_code() as folder:
    print(*sorted(entry.name for entry in folder.iterdir()))
    print((folder / "unscene/bundled/models/seedling/base/model_index.json").is_file())
print(folder.exists())
"""
    told = installed(wheel, empty, "-c", code)
    assert told.split() == [*sorted(CODE), "True", "False"]


def test_it_says_its_version_and_opens_outputs(wheel: Path, empty: Path) -> None:
    code = "import sys, unscene; print(unscene.__file__, [n for n in ('torch', 'ray') if n in sys.modules])"
    place, loaded = installed(wheel, empty, "-c", code).split(maxsplit=1)
    assert place == str(wheel.with_name("installed") / "unscene" / "__init__.py")
    assert loaded.strip() == "[]"
    version = wheel.name.split("-")[1]
    assert installed(wheel, empty, "-m", "unscene", "--version") == f"unscene {version}\n"

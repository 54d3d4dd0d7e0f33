"""The docs are not stale: generated pages match the code, and their Python runs against an output."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from pipeline.commands.survey import survey
from pipeline.report.card import write_card
from pipeline.storage.folder import Storage
from schemas.job import JobSpec
from schemas.records import TABLES
from tests.support import ROOT
from tests.support.sample_output import SampleOutput

DOCS = ROOT / "docs"


def script(name: str) -> ModuleType:
    """A generator of docs/ as a module."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def snippets(page: Path) -> list[str]:
    """Python blocks of a page, in order."""
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def test_the_job_spec_page_is_what_the_fields_say() -> None:
    maker = script("make_job_spec")
    assert maker.PAGE.read_text() == maker.page(), "stale: run `python docs/make_job_spec.py`"


def test_the_job_spec_page_has_every_field_that_the_fingerprint_knows() -> None:
    from schemas.fingerprint import result_fields

    page = script("make_job_spec").page()
    changing = set(re.findall(r"^\| `([\w.]+)` \|.* \| yes \|$", page, re.MULTILINE))
    set_ = {"accelerate": "lcm.safetensors", "guidance": 2, "guidance_interval": [1, 2]}  # nothing where they are null
    judged = {"enabled": True, "sam": "sam_vit_b.pth", "points_per_side": 1}  # and where they say the same
    tree = {"source": {"uri": "a"}, "output": "b", "evaluate": judged}
    made, placed = (
        set(result_fields(JobSpec.model_validate({**tree, "generate": {"mode": mode, **set_}}), {}))
        for mode in ("variations", "place")
    )
    assert changing == placed
    assert {name for name in placed - made if not name.startswith("generate.place.")} == {"generate.mode"}
    assert made < placed


def test_the_output_tables_are_what_the_schemas_say() -> None:
    maker = script("make_outputs")
    page = maker.PAGE.read_text()
    assert page == maker.filled(page), "stale: run `python docs/make_outputs.py`"
    assert maker.marked(page) == {*TABLES, "plan"}
    protocol = maker.PROTOCOL_PAGE.read_text()
    assert protocol == maker.filled(protocol), "stale: run `python docs/make_outputs.py`"
    assert maker.marked(protocol) == {"protocol"}


@pytest.mark.parametrize("name", ["make_protocol", "make_downstream"])
def test_a_page_of_results_takes_the_table_of_a_run_in_its_place(name: str) -> None:
    maker = script(name)
    page = maker.PAGE.read_text()
    once = maker.filled(page, "| method |\n|---|\n| ti_m \\1 |\n")
    assert maker.filled(once, "| method |\n|---|\n| ti_m \\1 |\n") == once
    assert "| ti_m \\1 |\n<!-- /results -->" in once
    assert once.partition("<!-- results -->")[0] == page.partition("<!-- results -->")[0]
    assert once.partition("<!-- /results -->")[2] == page.partition("<!-- /results -->")[2]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `out/demo`, or `out/photos`, is a finished output."""
    folder = tmp_path_factory.mktemp("docs")
    write_card(SampleOutput(folder / "out" / "demo").storage)
    (folder / "out" / "photos").symlink_to("demo")
    return folder


READERS = [
    (page, number) for page in ("outputs", "photographs") for number in range(len(snippets(DOCS / f"{page}.md")))
]


@pytest.mark.parametrize(("page", "number"), READERS)
def test_the_python_that_reads_an_output_runs(demo: Path, page: str, number: int) -> None:
    env = {**os.environ, "HF_HOME": str(demo / "cache"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", snippets(DOCS / f"{page}.md")[number]],
        cwd=demo,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_masks_to_correct_by_hand_are_masks_beside_their_pictures(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the lines of docs/photographs.md write is a source as it stands."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").symlink_to(demo / "out")
    exec(snippets(DOCS / "photographs.md")[0], {})
    spec = JobSpec.model_validate({"source": {"uri": str(tmp_path / "by-hand"), "masks": "beside"}, "output": "made"})
    listed = survey(spec, Storage(str(tmp_path / "made")))
    assert any("with masks of their own: 4 pictures, 8 masks" in line for line in listed.lines), listed.lines


def test_the_python_of_the_engine_page_runs() -> None:
    code = "\n".join(snippets(DOCS / "engine.md"))
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("tensor(") == 3


NAMED_TEST = re.compile(r"\b(tests/[\w/]+\.py)(?:::(\w+))?")
NAMED_CODE = re.compile(r"(?<![\w/])(?:\.\./)?((?:schemas|stages|pipeline|models|benchmarks|jobs|docs)/[\w/]+\.\w+)\b")


@pytest.mark.parametrize("page", [*sorted(DOCS.glob("*.md")), ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_every_test_and_file_it_names_is_there(page: Path) -> None:
    text = page.read_text()
    for file, name in NAMED_TEST.findall(text):
        assert (ROOT / file).is_file(), file
        assert not name or f"def {name}(" in (ROOT / file).read_text(), f"{file}::{name}"
    for file in NAMED_CODE.findall(text):
        assert (ROOT / file).is_file(), file


def test_the_design_page_names_tests_and_files() -> None:
    """Or the test above would look for nothing, as it would if tests moved to where its pattern does not look."""
    text = (DOCS / "design.md").read_text()
    assert len([name for _, name in NAMED_TEST.findall(text) if name]) >= 16  # two a promise
    assert NAMED_CODE.findall(text)


def test_each_way_to_a_cluster_takes_fewer_than_ten_commands() -> None:
    """With the clone, which stands above them."""
    page = (DOCS / "cluster.md").read_text()
    ways = page.partition("## From nothing")[2].partition("### What a failure")[0].split("\n### ")[1:]
    assert [way.partition("\n")[0] for way in ways] == ["One GPU box", "AWS with `ray up`", "Kubernetes with KubeRay"]
    for way in ways:
        (block,) = re.findall(r"^```\n(.*?)^```", way, re.MULTILINE | re.DOTALL)
        assert 1 + len(block.splitlines()) < 10, way

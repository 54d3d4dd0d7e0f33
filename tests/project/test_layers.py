"""The arrows of docs/design.md hold, and each of their contracts can fail: an import planted against it breaks it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support import ROOT

PACKAGES = ("schemas", "stages", "pipeline", "unscene")
CONTRACTS = [
    contract["name"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
]
PLANTED = [
    ("schemas <- stages <- pipeline", "stages/streams.py", "import pipeline.wording"),
    ("schemas <- stages <- pipeline", "schemas/masks.py", "import stages.streams"),
    ("schemas <- stages <- pipeline", "pipeline/wording.py", "import unscene.output"),
    ("storage <- ledger", "pipeline/storage/folder.py", "import pipeline.ledger.commits"),
    ("storage <- ledger", "pipeline/ledger/commits.py", "import pipeline.shards.tables"),
    ("storage <- ledger", "pipeline/report/page.py", "import pipeline.commands.status"),
    ("storage <- ledger", "pipeline/report/page.py", "import pipeline.scheduling.blame"),
    ("models, masks <- handles", "stages/masks/shapes.py", "import stages.segment.proposal"),
    ("models, masks <- handles", "stages/extract/stage.py", "import stages.generate.prompts"),
    ("a page, a file and a status", "pipeline/commands/status.py", "import pipeline.scheduling.blame"),
    ("a page, a file and a status", "pipeline/ledger/commits.py", "import ray"),
    ("no Ray in schemas and stages", "stages/segment/stage.py", "import ray"),
    ("no torch in schemas", "schemas/masks.py", "import torch"),
    ("no torch on the driver's way", "pipeline/commands/opening.py", "import stages.handles.cost"),
    ("no torch on the driver's way", "stages/ingest/source/files.py", "import torch"),
    ("torch is imported in stages only", "pipeline/protocol/page/table.py", "import torch"),
    ("torch is imported in stages only", "pipeline/export/handles.py", "import accelerate"),
    ("torch is imported in stages only", "unscene/scene.py", "import torch"),
    ("Ray is imported in scheduling", "pipeline/watching/progress.py", "import ray"),
    ("Ray is imported in scheduling", "pipeline/cli.py", "import ray"),
    ("protocol: jobs, statistics", "pipeline/protocol/statistics/summary.py", "import pipeline.protocol.page.table"),
    ("study: compared", "pipeline/study/sets.py", "import pipeline.study.making"),
    ("extract: method", "stages/extract/method/step.py", "import stages.extract.training.batch"),
]
"""(beginning of the contract's name, file, what is planted in it)"""


def lint(folder: Path) -> str:
    """What the linter prints of the packages in `folder`, its lines joined."""
    env = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "400"}
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120)
    return done.stdout + done.stderr


def verdicts(printed: str) -> dict[str, str]:
    """Name of a contract -> KEPT or BROKEN. Of one with exceptions, which stand in pyproject.toml, it says how many."""
    lines = re.findall(r"^(.*) (KEPT|BROKEN)(?: \(\d+ ignored imports?\))?$", printed, re.MULTILINE)
    return {name.strip(): verdict for name, verdict in lines}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages and the contracts, to plant imports in."""
    folder = tmp_path_factory.mktemp("planted")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_every_contract_is_kept(copy: Path) -> None:
    assert verdicts(lint(copy)) == dict.fromkeys(CONTRACTS, "KEPT")


def test_every_contract_has_an_import_that_breaks_it() -> None:
    assert {name for name in CONTRACTS if any(name.startswith(beginning) for beginning, _, _ in PLANTED)} == {
        *CONTRACTS
    }


@pytest.mark.parametrize(("contract", "file", "planted"), PLANTED)
def test_a_planted_import_breaks_its_contract(copy: Path, contract: str, file: str, planted: str) -> None:
    path = copy / file
    text = path.read_text()
    path.write_text(f"{text}\n{planted}\n")
    try:
        found = verdicts(lint(copy))
    finally:
        path.write_text(text)
    assert [verdict for name, verdict in found.items() if name.startswith(contract)] == ["BROKEN"]


def test_the_driver_loads_no_torch_and_the_commands_no_ray() -> None:
    """As the interpreter sees it, whatever a linter makes of imports inside functions."""
    code = """
import sys
import pipeline.cli, pipeline.commands.opening, pipeline.commands.run, pipeline.commands.status
import pipeline.commands.estimate, pipeline.export.handles, pipeline.report.page
assert "ray" not in sys.modules, "ray"
import pipeline.protocol.run, pipeline.scheduling.scheduler
print([name for name in ("torch", "diffusers") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stderr

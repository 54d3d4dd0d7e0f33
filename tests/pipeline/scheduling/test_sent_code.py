"""What a cluster is sent: the packages and what ships, file by file, and nothing else that lies in a checkout."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pipeline.scheduling import sent_code as module
from pipeline.scheduling.sent_code import link_code, sent_code
from schemas.shipped import CODE
from tests.support import ROOT

STRAY = (
    *(
        ".env",
        ".aws/credentials",
        "id_rsa",
        "key.pem",
        "token",
        "out/run.json",
        "notes.py",
        "photos/a.jpg",
        ".git/config",
    ),
    *("pipeline/.env", "pipeline/key.pem", "pipeline/.cache/x.py", "schemas/token", "stages/__pycache__/a.py"),
    *("jobs/mine.yaml", "models/seedling/.env", "models/seedling/base/key.pem", "models/training/train.py"),
    *("demo/bucket/.env", "demo/bucket/photos.zip", "demo/mine.json", "unscene/out/a.parquet"),
)
"""What lies in people's checkouts and belongs to nobody else."""
SENT = (
    *(
        "schemas/job.py",
        "stages/ingest/stage.py",
        "pipeline/cli.py",
        "pipeline/report/page.html.j2",
        "unscene/scene.py",
    ),
    *("models/NOTICE", "models/seedling/base/model.safetensors", "demo/bucket/a.jpg", "demo/parts/a.mask0.png"),
    "demo/protocol/instances.json",
)


def test_of_a_checkout_nothing_is_sent_that_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*STRAY, *SENT):
        (tmp_path / "home" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "home" / name).write_text(name)
    (tmp_path / "home/pipeline/linked.py").symlink_to(tmp_path / "home/id_rsa")
    (tmp_path / "home/stages/linked").symlink_to(tmp_path / "home/photos")
    monkeypatch.setattr(module, "BESIDE", tmp_path / "home")
    with sent_code() as folder:
        assert files_of(folder) == {*SENT}
        assert (folder / "schemas/job.py").read_text() == "schemas/job.py"
    assert not folder.exists()
    assert (tmp_path / "home/schemas/job.py").is_file(), "links go, not what they lead to"


def test_nothing_of_this_checkout_is_missing(tmp_path: Path) -> None:
    """By what git knows: a kind of file that the list does not know would be missing on the cluster only."""
    listed = [
        "git",
        "ls-files",
        *CODE,
        "models/seedling",
        "models/NOTICE",
        "demo/NOTICE",
        "demo/bucket",
        "demo/parts",
        "demo/protocol",
    ]
    done = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("no checkout of git")
    link_code(tmp_path)
    assert {name for name in done.stdout.splitlines() if (ROOT / name).is_file()} <= files_of(tmp_path)


def test_of_an_environment_our_packages_are_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = ("unscene/bundled/models/seedling/base/a.json", "unscene/bundled/demo/bucket/a.png")
    for name in (
        *(f"{package}/a.py" for package in (*CODE, "torch", "numpy")),
        "unscene-0.1.0.dist-info/RECORD",
        *inside,
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    monkeypatch.setattr(module, "BESIDE", tmp_path)
    monkeypatch.setattr(module, "INSTALLED", True)
    with sent_code() as folder:
        assert files_of(folder) == {*(f"{package}/a.py" for package in CODE), *inside}


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}

"""What a cluster is sent: the checkout without what it does not need, or of an environment our packages alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.scheduling import sent_code as module
from pipeline.scheduling.sent_code import EXCLUDES, link_code, sent_code
from schemas.shipped import CODE
from tests.support import ROOT


def test_a_checkout_is_sent_as_it_is(tmp_path: Path) -> None:
    with sent_code() as folder:
        assert folder == ROOT
    link_code(tmp_path)
    sent = {entry.name for entry in tmp_path.iterdir()}
    assert {*CODE, "models", "jobs", "demo"} <= sent
    assert not sent & {*EXCLUDES}


def test_of_an_environment_our_packages_are_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*CODE, "torch", "numpy", "unscene-0.1.0.dist-info"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(module, "BESIDE", tmp_path)
    monkeypatch.setattr(module, "INSTALLED", True)
    with sent_code() as folder:
        assert {entry.name: entry.resolve() for entry in folder.iterdir()} == {name: tmp_path / name for name in CODE}
    assert not folder.exists()
    assert (tmp_path / "unscene").is_dir(), "links go, not what they lead to"

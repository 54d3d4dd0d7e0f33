"""The files that conftest.py has begin first or end last are all that `make test` runs of tests/whole_jobs."""

from __future__ import annotations

from tests.conftest import FIRST, LAST
from tests.support import ROOT


def test_each_whole_job_has_its_turn() -> None:
    folder = ROOT / "tests" / "whole_jobs"
    proofs = {"test_prove.py", "test_demo_on_s3.py", "test_submitted.py"}  # of which `make test` runs none
    assert {*FIRST, *LAST} | proofs == {file.name for file in folder.glob("test_*.py")}
    assert not {*FIRST, *LAST} & proofs

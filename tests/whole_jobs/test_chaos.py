"""A short night of `make chaos`: nothing that is ended, at whatever step, loses or doubles a scene."""

from __future__ import annotations

import pytest

from benchmarks import chaos
from tests.support.s3_servers import need_s3


def test_a_short_night(capsys: pytest.CaptureFixture[str]) -> None:
    need_s3("moto")
    code = chaos.main(["--scenes", "12", "--batches", "1", "--faults", "12", "--least", "8", "--server", "moto"])
    printed = capsys.readouterr().out
    assert code == 0, printed
    assert "scenes: lost 0, duplicated 0" in printed
    assert "against the calm run byte by byte: 0 wrong" in printed
    assert "     0  things left behind" in printed

"""The log of a run: small however long the run, whole when it is stopped by an error, and never in its way."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.storage.folder import Storage
from pipeline.watching.run_log import RunLog


def test_a_long_run_keeps_its_beginning_and_its_end(tmp_path: Path) -> None:
    with RunLog(Storage(str(tmp_path))) as log:
        for number in range(10_000):
            log.event(f"event {number}")
    lines = (tmp_path / log.name).read_text().splitlines()
    assert len(lines) < 2300
    assert any(line.endswith("event 100") for line in lines)
    assert lines[-1].endswith("event 9999")
    (gap,) = [line for line in lines if line.endswith("lines left out ...")]
    assert int(gap.split()[1]) + len(lines) - 1 == 10_000 + 2


def test_what_ended_the_run_stands_last(tmp_path: Path) -> None:
    log = RunLog(Storage(str(tmp_path)))
    with pytest.raises(ValueError, match="out of luck"), log:
        raise ValueError("out of luck")
    text = (tmp_path / log.name).read_text()
    assert "Traceback (most recent call last)" in text
    assert text.rstrip().endswith("ValueError: out of luck")


def test_a_store_that_takes_no_log_stops_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "_logs").write_text("a file where the folder should be")
    with RunLog(Storage(str(tmp_path))) as log:
        log.event("on it goes")
    assert "could not write _logs/" in capsys.readouterr().err

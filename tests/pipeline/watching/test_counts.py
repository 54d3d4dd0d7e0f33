"""How far a job is, for a terminal, a log and `status`."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.storage.folder import Storage
from pipeline.watching import snapshot
from pipeline.watching.counts import JobCounts, StageCount
from pipeline.watching.snapshot import NAME, is_fresh, pace, read_snapshot, write_snapshot
from pipeline.watching.terminal import line, table


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> JobCounts:
    """Ten scenes: two fell out of the first stage, six are through; the second has done three, one a second."""
    found = JobCounts(["ingest", "extract"], 10)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    found.stages["ingest"].add(6, 2, now)
    for second in range(4):
        found.stages["extract"].add(1 if second else 0, 0, now - 3 + second)
    return found


def test_what_failed_before_a_stage_is_not_left_for_it(counts: JobCounts) -> None:
    assert (counts.left("ingest"), counts.left("extract")) == (2, 5)


def test_a_rate_is_of_the_units_since_the_first_and_gives_an_eta(counts: JobCounts) -> None:
    extract = next(state for state in counts.states() if state.name == "extract")
    assert extract.per_minute == pytest.approx(60.0, rel=1e-6)
    assert extract.eta_s == pytest.approx(5.0, rel=1e-6)
    assert StageCount().per_minute(time.monotonic()) == 0.0
    assert next(counts.states()).eta_s is None  # one unit tells no rate


def test_the_log_line_and_the_table_say_the_same(counts: JobCounts) -> None:
    assert line(counts).split("  ", 1)[1] == (
        "ingest 6 done, 2 failed, 2 left | extract 3 done, 5 left, 60.0/min, ETA 5 s"
    )
    out = io.StringIO()
    Console(file=out, width=100).print(table(counts))
    rows = [text.split() for text in out.getvalue().splitlines()]
    assert rows[1][:4] == ["ingest", "6", "2", "2"]
    assert rows[2][:4] == ["extract", "3", "-", "5"]
    assert rows[2][-2:] == ["5", "s"]


def test_a_snapshot_tells_another_machine_and_grows_stale(
    counts: JobCounts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage(str(tmp_path))
    assert read_snapshot(storage) is None
    assert not is_fresh(None)
    write_snapshot(storage, counts)
    found = read_snapshot(storage)
    assert found is not None
    assert found["scenes"] == 10
    assert found["stages"]["extract"]["left"] == 5
    assert pace(found, "extract") == (" (3 with those not yet packed; 60.0/min, ETA 5 s)")
    assert pace(found, "ingest") == ""  # no rate yet
    monkeypatch.setattr(snapshot.time, "time", lambda: found["at"] + snapshot.STALE_S + 1)
    assert not is_fresh(found)
    assert pace(found, "extract") == ""


def test_a_snapshot_that_cannot_be_written_or_read_stops_nothing(
    counts: JobCounts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = Storage(str(tmp_path))
    storage.write(NAME, b"{half a fi")
    assert read_snapshot(storage) is None

    def full(self: Storage, name: str, data: bytes) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Storage, "write", full)
    write_snapshot(storage, counts)
    assert "no space left" in capsys.readouterr().err
    with pytest.raises(json.JSONDecodeError):
        json.loads(storage.read(NAME))

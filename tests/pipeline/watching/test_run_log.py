"""The log of a run: small however long the run, whole when it is stopped by an error, and never in its way."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pipeline.storage.folder import Storage
from pipeline.watching.run_log import WARNINGS, RunLog
from pipeline.watching.watcher import About, Said


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


def coded(folder: Path, log: RunLog) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / log.json_name).read_text().splitlines()]


def test_the_same_lines_are_there_for_programs(tmp_path: Path) -> None:
    with RunLog(Storage(str(tmp_path))) as log:
        log.shard_packed("ingest", 3, 60, 4, 1_500_000)
        log.event("extract of a1 failed alone (Timeout)", About("extract", "a1", 3, "warning", "scene"))
        log.warned("segment", 4, [Said('scene b2: "own" masks\u2028', "warning", "b2"), Said("broken", "error")])
        log.event("two\nlines")
    lines = coded(tmp_path, log)
    assert [line["text"] for line in lines[2:]] == [
        "ingest: shard 000003 committed, 60 done, 4 failed, 1.5 MB",
        "extract of a1 failed alone (Timeout)",
        'segment: scene b2: "own" masks',
        "segment: broken",
        "two",
        "lines",
    ]
    for line in lines:
        assert list(line) == ["time", "level", "stage", "scene", "shard", "retry", "text"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    shard, attempt, warned, broken = lines[2:6]
    assert (shard["level"], shard["stage"], shard["scene"], shard["shard"]) == ("info", "ingest", None, 3)
    assert list(attempt.values())[1:6] == ["warning", "extract", "a1", 3, "scene"]
    assert list(warned.values())[1:5] == ["warning", "segment", "b2", 4]
    assert (broken["level"], broken["scene"]) == ("error", None)
    plain = (tmp_path / log.name).read_text().splitlines()
    assert len(plain) == len(lines)
    assert plain[3].endswith("  warning: extract of a1 failed alone (Timeout)")


def test_warnings_of_workers_do_not_drive_out_the_rest(tmp_path: Path) -> None:
    with RunLog(Storage(str(tmp_path))) as log:
        log.event("it began", About("ingest"))
        for number in range(WARNINGS * 10):
            log.warned("extract", 0, [Said("the word is not known" * 1000, scene_id=f"{number:016x}")])
    lines = coded(tmp_path, log)
    assert sum(1 for line in lines if line["level"] == "warning") == WARNINGS
    assert lines[2]["text"] == "it began"
    assert lines[-1]["text"] == f"{WARNINGS * 9} more warnings of workers were counted, not kept"
    assert max(len(line["text"]) for line in lines) <= 2010

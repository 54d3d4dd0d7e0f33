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
from pipeline.watching.counts import JobCounts, at_work
from pipeline.watching.snapshot import NAME, announce, in_hand, is_fresh, measured, read_snapshot, write_snapshot
from pipeline.watching.terminal import job_text, line, table
from pipeline.watching.watcher import InHand

TRAINING = InHand(2, {"share": 0.5, "phase": 2, "step": 1200, "steps": 8000})


class Clock:
    """The time of `time.monotonic`, which passes when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def passes(self, seconds: float, counts: JobCounts, **in_hand: list[InHand]) -> None:
        self.now += seconds
        counts.tick(in_hand)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def counts(clock: Clock) -> JobCounts:
    """Ten scenes: two fell out of the first stage, six are through, after 8 s; the second has done three, in 3 s, and
    has been at two more for 1 s."""
    found = JobCounts(["ingest", "extract"], 10)
    found.tick({"ingest": [InHand(8)]})
    found.add("ingest", 6, 2)
    clock.passes(8.0, found)
    found.tick({"extract": [InHand(3)]})
    found.add("extract", 3, 0)
    clock.passes(3.0, found, extract=[InHand(2)])
    clock.passes(1.0, found, extract=[TRAINING])
    return found


def test_what_failed_before_a_stage_is_not_left_for_it(counts: JobCounts) -> None:
    assert (counts.left("ingest"), counts.left("extract")) == (2, 5)


def test_the_share_of_a_stage_counts_what_is_done_of_the_units_in_hand(counts: JobCounts) -> None:
    ingest, extract = counts.states()
    assert ingest.share == pytest.approx(0.8)
    assert extract.share == pytest.approx(4 / 8)  # three, and half of two, of the eight that come so far
    assert (extract.working, extract.starting) == (1, 0)


def test_the_end_is_told_by_what_scenes_have_cost(counts: JobCounts) -> None:
    """Ingest took 1 s a scene and has two left, extract 1 s and has four."""
    job = counts.job()
    assert job.left_s == pytest.approx(2 + 4, rel=1e-3)
    assert job.share == pytest.approx((8 + 4) / (10 + 8), rel=1e-3)
    assert job.elapsed_s == pytest.approx(12)


def test_before_anything_is_measured_nothing_is_guessed(clock: Clock) -> None:
    counts = JobCounts(["extract", "generate"], 4)
    counts.tick({"extract": [InHand(4)]})
    clock.passes(60.0, counts, extract=[InHand(4)])
    assert (counts.job().left_s, counts.job().share) == (None, None)
    assert line(counts).endswith(" | 60 s so far")
    clock.passes(40.0, counts, extract=[InHand(4, {"share": 0.25})])
    job = counts.job()
    assert job.left_s == pytest.approx(300)  # 100 s for a quarter
    assert job.unmeasured == ("generate",)
    assert line(counts).endswith("at least 5 min left, not counting generate")
    clock.passes(20.0, counts, extract=[InHand(4, {"share": 0.25})])
    assert counts.job().left_s == pytest.approx(300), "between two words nothing is known to have become slower"


def test_what_an_earlier_run_measured_counts_until_this_one_knows_better(clock: Clock) -> None:
    counts = JobCounts(["extract", "generate"], 10, {"extract": 60.0, "generate": 6.0})
    counts.restore("extract", 4, 0)
    assert counts.job().left_s == pytest.approx(6 * 60 + 10 * 6)
    counts.tick({"extract": [InHand(1)]})
    counts.add("extract", 1, 0)
    clock.passes(10.0, counts)
    assert counts.job().left_s == pytest.approx(5 * 10 + 10 * 6)


def test_stages_that_work_side_by_side_end_the_job_sooner(clock: Clock) -> None:
    counts = JobCounts(["extract", "generate"], 20)
    for _ in range(10):
        counts.tick({"extract": [InHand(1)], "generate": [InHand(1)]})
        counts.add("extract", 1, 0)
        counts.add("generate", 1, 0)
        clock.passes(2.0, counts, extract=[InHand(1)], generate=[InHand(1)])
    assert counts.job().left_s == pytest.approx(20.0)


def test_a_unit_that_is_lost_takes_its_share_back(clock: Clock) -> None:
    counts = JobCounts(["extract"], 4)
    counts.tick({"extract": [InHand(4)]})
    clock.passes(10.0, counts, extract=[InHand(4, {"share": 0.5})])
    clock.passes(1.0, counts)
    assert next(counts.states()).share == 0.0
    assert counts.job().left_s is None


def test_what_workers_are_at_is_said_in_words() -> None:
    assert at_work([]) == ""
    assert at_work([InHand(0)]) == "starting"
    assert at_work([InHand(0, {"doing": "loading models"})]) == "loading models"
    assert at_work([InHand(4)]) == "working"
    assert at_work([TRAINING, InHand(0)]) == "phase 2, step 1,200 of 8,000"
    behind = InHand(2, {"share": 0.1, "picture": 1, "pictures": 8})
    assert at_work([TRAINING, behind]) == "2 workers: picture 1 of 8"


def test_the_log_line_and_the_table_say_the_same(counts: JobCounts) -> None:
    assert line(counts).split("  ", 1)[1] == (
        "ingest 6 done, 2 failed, 2 left | extract 3 done, 5 left, phase 2, step 1,200 of 8,000 | "
        "66 %, 12 s so far, about 10 s left"
    )
    rows = drawn(counts)
    assert rows[1].split() == ["ingest", "6", "2", "2", "80"]
    assert rows[2].split()[:5] == ["extract", "3", "-", "5", "50"]
    assert rows[2].endswith("phase 2, step 1,200 of 8,000")
    assert rows[3] == "66 %, 12 s so far, about 10 s left"


def test_the_table_stays_where_it_is_in_80_columns(counts: JobCounts) -> None:
    long = InHand(2, {"share": 0.1, "doing": "drawing the prior set, picture 100 of 200, and more than fits"})
    counts.stages["extract"].in_hand = [long, long]
    counts.stages["ingest"].done = 1_234_567
    counts.scenes = 9_999_999
    wide, rows = drawn(counts), drawn(JobCounts(["ingest", "extract"], 1))
    assert max(map(len, wide)) <= 80
    assert len(wide) == len(rows) == 4
    assert wide[0] == rows[0]


def test_the_words_for_the_whole_job() -> None:
    assert job_text(40, None, None, ["extract"]) == "40 s so far"
    assert job_text(240, None, 720, ["generate", "evaluate"]) == (
        "4 min so far, at least 12 min left, not counting generate, evaluate"
    )
    assert job_text(240, 0.999, 3, []) == "99 %, 4 min so far, about 10 s left"


def drawn(counts: JobCounts) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=80).print(table(counts))
    return [text.rstrip() for text in out.getvalue().splitlines()]


def test_a_snapshot_tells_another_machine_and_grows_stale(
    counts: JobCounts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage(str(tmp_path))
    assert read_snapshot(storage) is None
    assert not is_fresh(None)
    announce(storage, "planning", stale=["a.jpg: its picture changed"])
    write_snapshot(storage, counts)
    found = read_snapshot(storage)
    assert found is not None
    assert (found["state"], found["scenes"]) == ("running", 10)
    assert found["stages"]["extract"]["left"] == 5
    assert found["stale"] == ["a.jpg: its picture changed"]
    assert measured(found) == pytest.approx({"ingest": 1.0, "extract": 1.0}, rel=1e-3)
    assert in_hand(found, "extract", 2) == " (3 with those not yet packed; 50 %, phase 2, step 1,200 of 8,000)"
    assert in_hand(found, "ingest", 6) == ""  # nobody is at it
    announce(storage, "planning")
    assert in_hand(read_snapshot(storage), "extract", 2) == "", "a later run is not yet where a killed one was"
    monkeypatch.setattr(snapshot.time, "time", lambda: found["at"] + snapshot.STALE_S + 1)
    assert not is_fresh(found)
    assert in_hand(found, "extract", 2) == ""


def test_a_snapshot_of_an_older_version_is_read(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    stage = {"name": "extract", "done": 3, "failed": 0, "left": 5, "working": 1, "per_minute": 60.0, "eta_s": 5.0}
    storage.write(NAME, json.dumps({"at": time.time(), "scenes": 10, "stages": {"extract": stage}}).encode())
    assert in_hand(read_snapshot(storage), "extract", 2) == ""
    assert measured(read_snapshot(storage)) == {}


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

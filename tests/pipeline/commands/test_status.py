"""What `status` and the report say of a job that goes through some of the stages only."""

from __future__ import annotations

import io
import json
import threading
import time
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.commands import watch as watching
from pipeline.commands.facts import status_facts
from pipeline.commands.run import stopping_line
from pipeline.commands.scenes import list_scenes
from pipeline.commands.status import status_lines
from pipeline.ledger import lease
from pipeline.ledger.commits import commit_name
from pipeline.ledger.holder import ourselves
from pipeline.ledger.lease import EXPIRES_S, LONG_GONE_S, held
from pipeline.ledger.rounds import FAILURES
from pipeline.ledger.withdrawals import withdraw
from pipeline.report.page import write_report
from pipeline.shards.pack import pack_rows
from pipeline.shards.parts import PartsWriter, work_folder
from pipeline.stage_kinds import INGEST, SEGMENT
from pipeline.storage.folder import Storage
from pipeline.watching.counts import JobCounts
from pipeline.watching.snapshot import announce, write_snapshot
from pipeline.watching.watcher import InHand
from schemas.errors import OutputError
from schemas.job import JobSpec
from schemas.outcomes import Failure, SceneOutput
from tests.support.sample_output import BROKEN, SampleOutput, write_record


@pytest.fixture
def sample(tmp_path: Path) -> SampleOutput:
    """Both shards through ingest and segment, and their failures committed."""
    found = SampleOutput(tmp_path / "out", stages=(INGEST, SEGMENT))
    for shard in range(found.plan.shards):
        pack_rows(found.storage, FAILURES, shard, 0, {FAILURES: []})
    return found


def test_a_job_of_the_first_stages_is_finished_after_them(sample: SampleOutput) -> None:
    """As the scenes of an evaluation are; whoever followed other advice would train in their folder."""
    record = json.loads(sample.storage.read("run.json"))
    sample.storage.write("run.json", json.dumps(record | {"stages": ["ingest", "segment"]}).encode())
    lines = status_lines(sample.storage)
    assert "finished" in lines
    assert [line.split()[0] for line in lines[1:3]] == ["ingest", "segment"]
    assert not any("extract" in line for line in lines)
    assert "Unfinished" not in Path(write_report(sample.storage)).read_text()


def test_a_job_of_all_stages_is_not(sample: SampleOutput) -> None:
    """A record that does not say which stages it has is of all of them; a commit that was deleted is work to do."""
    assert any("2 shards to go; `unscene run SPEC` goes on" in line for line in status_lines(sample.storage))
    assert "Unfinished" in Path(write_report(sample.storage)).read_text()


def test_an_unfinished_job_names_the_command_that_goes_on(sample: SampleOutput) -> None:
    """As it was typed, not "the same" to whoever has closed that terminal."""
    command = "unscene run 'my job.yaml' --set seed=3"
    announce(sample.storage, "starting", command=command)
    write_snapshot(sample.storage, JobCounts(["ingest"], 4), "ended")
    assert state_of(sample.storage).endswith(f": 2 shards to go; `{command}` goes on")
    page = unescape(Path(write_report(sample.storage)).read_text())
    assert f"<code>{command}</code>" in page
    assert "same unscene" not in page


def state_of(storage: Storage) -> str:
    return next(line for line in status_lines(storage) if line.startswith(("running", "stopping", "not", "finished")))


def test_a_run_that_has_just_begun_is_running_before_there_is_anything_to_count(tmp_path: Path) -> None:
    """From the lease to the first unit: no record yet, no plan yet, Ray not yet."""
    storage = Storage(str(tmp_path / "out"))
    with pytest.raises(OutputError, match="no run.json there"):
        status_lines(storage)
    with held(storage):
        assert "a run has just begun (process" in status_lines(storage)[0]
        write_record(storage, JobSpec.model_validate({"source": {"uri": "/photos"}, "output": storage.url}))
        assert state_of(storage).startswith("running: it reads the source and plans (process")
        announce(storage, "planning")
        assert state_of(storage).startswith("running: it reads the source and plans (process")
        announce(storage, "starting")
        assert state_of(storage).startswith("running: no plan yet; Ray and the models are starting")
    assert state_of(storage).startswith("not running (last heard of"), "no plan is not a finished job"
    assert state_of(storage).endswith("no plan yet; `unscene run SPEC` goes on")


def test_a_run_is_at_work_until_its_lease_ends_and_no_longer(sample: SampleOutput) -> None:
    """A snapshot stays behind; whoever is gone is gone at once."""
    counts = JobCounts(["ingest", "segment", "extract"], 4, {"ingest": 1.0, "segment": 1.0})
    counts.restore("ingest", 4, 0)
    counts.restore("segment", 4, 0)
    counts.stages["extract"].in_hand = [InHand(4, {"share": 0.5, "phase": 1, "step": 5, "steps": 10})]
    with held(sample.storage):
        write_snapshot(sample.storage, counts)
        lines = status_lines(sample.storage)
        assert "(50 %, phase 1, step 5 of 10)" in next(line for line in lines if "extract" in line)
        assert state_of(sample.storage).startswith("running: 2 shards to go; 0 s so far")
        write_snapshot(sample.storage, counts, "stopping")
        assert state_of(sample.storage).startswith("stopping, writing what is whole: 2 shards to go")
    assert state_of(sample.storage).startswith("not running (last heard of 0 s ago): 2 shards to go")
    assert not any("phase 1" in line for line in status_lines(sample.storage))


def test_what_a_stopped_run_was_through_with_is_told_though_no_shard_holds_it(sample: SampleOutput) -> None:
    """The table of a run that was stopped said 3 of 4, and status 2 done a second later."""
    first, second, *_ = (scene for shard in range(2) for scene in sample.plan.scenes(shard))
    parts = PartsWriter(sample.storage, work_folder("extract", 0, 0))
    for scene in (first, second, "a-broken-one"):
        parts.add(SceneOutput(scene, failure=Failure(scene, "Bad", "because") if scene.startswith("a-") else None))
    parts.close()
    again = PartsWriter(sample.storage, work_folder("extract", 0, 0))  # by a worker whose driver had been given up
    again.add(SceneOutput(first))
    again.add(SceneOutput(second))
    again.close()

    def told() -> str:
        return next(line for line in status_lines(sample.storage) if "extract" in line)

    assert told().endswith("0 of 2 shards (2 with those not yet packed)")
    assert status_facts(sample.storage)["stages"]["extract"]["unpacked"] == 2
    sample.storage.create(commit_name("extract", 0, 0), sample.storage.read(commit_name("segment", 0, 0)))
    assert "packed" not in told(), "a commit has them"


@pytest.mark.parametrize(
    ("every_s", "said"),
    [
        (300, ", and the state of a batch in training"),
        (None, "; a batch in training starts anew next time, as extract.checkpoint_every_s is null"),
    ],
)
def test_who_stops_a_run_is_told_what_becomes_of_a_batch_in_training(every_s: float | None, said: str) -> None:
    spec = JobSpec.model_validate({"source": {"uri": "/p"}, "output": "o", "extract": {"checkpoint_every_s": every_s}})
    whole = "stopping: writing what is whole{} (Ctrl-C again to leave at once)"
    counts = JobCounts(["ingest", "extract"], 4)
    counts.stages["ingest"].in_hand = [InHand(4, {})]
    assert stopping_line(spec, counts) == whole.format("")
    counts.stages["extract"].in_hand = [InHand(0, {})]
    assert stopping_line(spec, counts) == whole.format(""), "its worker is starting"
    counts.stages["extract"].in_hand = [InHand(4, {})]
    assert stopping_line(spec, counts) == whole.format(said)
    assert stopping_line(spec, JobCounts(["ingest"], 4)) == whole.format("")


def test_a_driver_elsewhere_that_is_heard_of_no_more_is_not_at_work(
    sample: SampleOutput, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = replace(ourselves(), machine="another")

    def heard_of(seconds_ago: float) -> None:
        sample.storage.write("_lease/000001.json", replace(driver, at=time.time() - seconds_ago).to_json())

    heard_of(0)
    assert state_of(sample.storage).startswith("running")
    heard_of(LONG_GONE_S + 1)
    assert state_of(sample.storage).startswith("not running")
    monkeypatch.setattr(lease, "RENEW_S", 0.2)
    for wrong in (-EXPIRES_S - 60, EXPIRES_S + 60):  # a clock may be so wrong: only a renewal tells
        heard_of(wrong)
        assert state_of(sample.storage).startswith("not running")
        timer = threading.Timer(0.1, heard_of, [wrong - 0.5])
        timer.start()
        assert state_of(sample.storage).startswith("running")
        timer.join()


def test_stale_scenes_and_failures_are_named_from_the_source_on(sample: SampleOutput) -> None:
    announce(sample.storage, "ended", stale=["/photos/a/b.jpg: its picture changed"])
    lines = status_lines(sample.storage)
    assert any(
        line.startswith("stale, as of the last run: 1, whose file changed since: a/b.jpg: its picture changed; make")
        and line.endswith(f"unscene retry {sample.storage.url}")
        for line in lines
    )
    assert "1 failed, of the files under /photos:" in lines
    assert any(line.startswith("  ingest broken.jpg: ") for line in lines)


def test_withdrawn_scenes_are_counted(sample: SampleOutput) -> None:
    for scene, said in zip(
        sample.plan.scenes(0)[:2],
        ("1 scene withdrawn: nothing more is made of it", "2 scenes withdrawn: nothing more is made of them"),
        strict=True,
    ):
        withdraw(sample.storage, scene)
        assert said in status_lines(sample.storage)


def test_watch_ends_with_the_run_and_then_says_all(sample: SampleOutput, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = iter([True, True, True, False])
    monkeypatch.setattr(watching, "at_work", lambda storage: {"pid": 1} if next(turns) else None)
    out = io.StringIO()
    watching.watch(sample.storage, Console(file=out, width=80), every_s=0.0)
    printed = out.getvalue().splitlines()
    assert printed[1:] == status_lines(sample.storage)
    assert printed[0].endswith(status_lines(sample.storage)[0]), "one line in two quick turns"


def test_watch_leaves_the_command_that_goes_on_in_one_line(
    sample: SampleOutput, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it draws over is broken into lines of the terminal; a command with a line's end in it cannot be copied."""
    command = (
        "unscene run photos.yaml --set extract.phase1.steps=60 --set extract.phase2.steps=120 --set output=out/few"
    )
    announce(sample.storage, "starting", command=command)
    turns = iter([True, True, False])
    monkeypatch.setattr(watching, "at_work", lambda storage: {"pid": 1} if next(turns) else None)
    out = io.StringIO()
    watching.watch(sample.storage, Console(file=out, width=40, force_terminal=True), every_s=0.0)
    assert f"`{command}`\n  goes on" in out.getvalue()


@pytest.mark.parametrize("comes", [True, False])
def test_watch_waits_for_a_run_that_was_typed_a_moment_ago(
    sample: SampleOutput, monkeypatch: pytest.MonkeyPatch, comes: bool
) -> None:
    turns = iter([False, False, comes, comes])
    monkeypatch.setattr(watching, "at_work", lambda storage: {"pid": 1} if next(turns, False) else None)
    out = io.StringIO()
    watching.watch(sample.storage, Console(file=out, width=80), every_s=0.01, begin_s=0.05)
    printed = out.getvalue().splitlines()
    assert printed[0] == "nobody is at work here yet; looking for 0 s more"
    assert (printed[1:] == status_lines(sample.storage)) is not comes


def test_a_run_that_stops_says_so_until_it_has_ended(sample: SampleOutput) -> None:
    """It said that it read the source: what it had announced last was taken for the word of the run before."""
    with held(sample.storage):
        write_snapshot(sample.storage, JobCounts(["ingest"], 4), "ended")
        assert state_of(sample.storage).startswith("stopping, what is whole is written: 2 shards to go (process ")
        told = json.loads(sample.storage.read("_progress.json"))
        sample.storage.write("_progress.json", json.dumps(told | {"pid": 1}).encode())
        assert state_of(sample.storage).startswith("running: it reads the source and plans (process ")


@pytest.mark.parametrize("message", ["", " \n\n", "\n  at last a word\nand more"])
def test_a_failure_without_a_word_is_told_by_its_class(sample: SampleOutput, message: str) -> None:
    """An OUTPUT of an older Unscene may hold one; it was an IndexError."""
    broken = next(row for row in sample.plan.all_rows() if row["uri"] == BROKEN)
    name = f"_commits/ingest/{broken['shard']:06d}.json"
    record = json.loads(sample.storage.read(name))
    row = Failure(broken["scene_id"], "ValueError", "x", uri=BROKEN).row("ingest")
    record["failures"] = [{**row, "message": message}]
    sample.storage.write(name, json.dumps(record).encode())
    said = message.split("\n")[1].strip() if "word" in message else "ValueError"
    assert any(line.endswith(f"broken.jpg: {said}") for line in status_lines(sample.storage))
    found = [scene.line() for scene in list_scenes(sample.storage) if scene.failure]
    assert [line.endswith(f"failed in ingest: {said}") for line in found] == [True]
    assert said in Path(write_report(sample.storage)).read_text()


def test_a_failure_is_never_written_without_a_word() -> None:
    assert Failure("0" * 16, "ValueError", "\n").row("ingest")["message"] == "ValueError without a word"

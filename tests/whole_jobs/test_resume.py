"""Resume: whatever kills the driver, the same command finishes the job; nothing twice, nothing lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline.commands.opening import open_job
from pipeline.commands.status import status_lines
from pipeline.ledger import lease
from pipeline.storage.folder import Storage
from pipeline.watching.snapshot import read_snapshot
from schemas.errors import OutputError, SpecError
from tests.support import ROOT
from tests.support.crash_points import content, left_behind
from tests.support.toy_stages import TOY_KINDS
from tests.whole_jobs.test_faults import bucket, id_of, named, rows_of, run_toy, toy_spec

DRIVER = """
import sys
from rich.console import Console
from pipeline.commands.run import run_job
from schemas.spec_file import load_spec
from tests.support.toy_stages import TOY_KINDS
command = "unscene run job.json --set source.storage_options.key=ABC"
result = run_job(load_spec(sys.argv[1]), Console(), TOY_KINDS, command=command)
sys.exit(0 if result.complete else 130)
"""


def start_driver(spec: Any, folder: Path) -> subprocess.Popen[bytes]:
    """A driver in a process of its own, with an embedded Ray of its own."""
    file = folder / "job.json"
    file.write_text(spec.model_dump_json())
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("RAY_ADDRESS", None)
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(file)],
        env=environment,
        cwd=ROOT,
        start_new_session=True,
        stdout=(folder / "driver.log").open("ab"),
        stderr=subprocess.STDOUT,
    )


def wait_for(what: Any, seconds: float = 90.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)


def learned(output: Path) -> int:
    """Scenes in parts, two in each, and in shards, four in each: what falls again may never be seen at its height."""
    return 2 * len(list(output.glob("_work/extract/*/*.tar"))) + 4 * len(list(output.glob("handles/*.parquet")))


@pytest.fixture
def slow_job(tmp_path: Path) -> Any:
    source = bucket(tmp_path / "in", dict.fromkeys("abcdefghij", "extract:slow 0.4"))
    return toy_spec(source, tmp_path / "out", extract={"batch": 2}, cluster={"extract": {"workers": 1}})


def test_a_killed_driver_costs_nothing_but_time(tmp_path: Path, slow_job: Any, local_ray: None) -> None:
    driver = start_driver(slow_job, tmp_path)
    aim = random.choice([2, 4, 6])
    wait_for(lambda: learned(tmp_path / "out") >= aim)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    result, _ = run_toy(slow_job)
    assert result.worked
    assert result.complete
    handles = rows_of(tmp_path / "out", "handles")
    assert len(handles) == len({row["scene_id"] for row in handles}) == 10
    assert not rows_of(tmp_path / "out", "failures")
    whole = toy_spec(Path(slow_job.source.uri), tmp_path / "uninterrupted", extract={"batch": 2})
    run_toy(whole)
    expected = {row["scene_id"]: row["embedding"] for row in rows_of(tmp_path / "uninterrupted", "handles")}
    assert {row["scene_id"]: row["embedding"] for row in handles} == expected
    assert {row["word"] for row in handles} == {"2"}  # the same scenes went side by side, before and after
    for folder in ("_attempts", "_work"):
        assert not [path for path in (tmp_path / "out" / folder).rglob("*") if path.is_file()]


def test_a_stage_is_marked_before_a_worker_has_left_anything(tmp_path: Path, slow_job: Any, local_ray: None) -> None:
    """A worker that outlives its driver leaves its part when it will: no other settings may have taken its place."""
    driver = start_driver(slow_job, tmp_path)
    marks = tmp_path / "out" / "_begun"
    wait_for(lambda: (marks / "extract").exists())
    assert not list((tmp_path / "out").glob("_work/extract/*/*.tar"))
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    other = slow_job.model_copy(update={"extract": slow_job.extract.model_copy(update={"init_word": "cat"})})
    with pytest.raises(OutputError, match=r"made with other settings \(extract\.init_word"):
        run_toy(other)
    assert run_toy(slow_job)[0].complete
    assert sorted(mark.name for mark in marks.iterdir()) == ["extract", "ingest"]


def test_a_part_that_was_emptied_is_made_anew(tmp_path: Path, slow_job: Any, local_ray: None) -> None:
    """By a power cut, which kills the driver and leaves the last file without its bytes."""
    driver = start_driver(slow_job, tmp_path)
    wait_for(lambda: list((tmp_path / "out").glob("_work/extract/*/*.tar")))
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    emptied = next((tmp_path / "out").glob("_work/extract/*/*.tar"))
    emptied.write_bytes(b"")
    result, _ = run_toy(slow_job)
    assert result.complete
    assert len(rows_of(tmp_path / "out", "handles")) == 10
    assert not rows_of(tmp_path / "out", "failures")
    logs = "".join(file.read_text() for file in (tmp_path / "out" / "_logs").iterdir())
    assert f"{emptied.name} is damaged" in logs


def test_two_drivers_do_not_work_on_one_output(tmp_path: Path, slow_job: Any) -> None:
    driver = start_driver(slow_job, tmp_path)
    try:
        wait_for(lambda: (tmp_path / "out" / "_lease" / "000001.json").exists())
        with pytest.raises(OutputError, match=f"another run is at work here .process {driver.pid} on "):
            run_toy(slow_job)
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()


@pytest.mark.prove
def test_a_driver_that_slept_too_long_finds_its_successor_and_stops(
    tmp_path: Path, slow_job: Any, local_ray: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "EXPIRES_S", 5.0)
    driver = start_driver(slow_job, tmp_path)
    wait_for(lambda: learned(tmp_path / "out") >= 2)
    driver.send_signal(signal.SIGSTOP)
    long_enough = time.monotonic() + 2 * lease.RENEW_S + 1  # by the driver's own clock, for whom nothing was shortened
    assert run_toy(slow_job)[0].complete
    time.sleep(max(0.0, long_enough - time.monotonic()))
    before = content(tmp_path / "out")
    progress = (tmp_path / "out" / "_progress.json").read_bytes()
    driver.send_signal(signal.SIGCONT)
    assert driver.wait(timeout=60) == 1
    said = (tmp_path / "driver.log").read_text()
    assert f"another run has taken over here (process {os.getpid()} on " in said
    assert "so this one stops; nothing is lost" in said
    assert content(tmp_path / "out") == before
    assert (tmp_path / "out" / "_progress.json").read_bytes() == progress
    assert not run_toy(slow_job)[0].worked
    assert not left_behind(tmp_path / "out")


def test_ctrl_c_writes_what_is_whole_and_the_next_run_goes_on(tmp_path: Path, slow_job: Any, local_ray: None) -> None:
    driver = start_driver(slow_job, tmp_path)
    storage = Storage(str(tmp_path / "out"))
    wait_for(lambda: learned(tmp_path / "out") >= 2)
    assert any(line.startswith("running: ") for line in status_lines(storage))
    driver.send_signal(signal.SIGINT)
    assert driver.wait(timeout=60) == 130
    assert "stopping: writing what is whole" in (tmp_path / "driver.log").read_text()
    assert any(line.startswith("not running (last heard of ") for line in status_lines(storage)), "at once"
    again = "`unscene run job.json --set source.storage_options.key=***` goes on"
    assert any(again in line for line in status_lines(storage))
    seen = read_snapshot(storage)
    assert seen is not None
    assert seen["stages"]["extract"]["scene_s"] > 0, "the next run knows what a scene costs"
    result, _ = run_toy(slow_job)
    assert result.complete
    assert len(rows_of(tmp_path / "out", "handles")) == 10


def test_ctrl_c_keeps_the_state_of_a_batch_in_training(tmp_path: Path, local_ray: None) -> None:
    state = tmp_path / "state"
    spec = toy_spec(bucket(tmp_path / "in", {"a": f"extract:train {state}"}), tmp_path / "out")
    driver, storage = start_driver(spec, tmp_path), Storage(str(tmp_path / "out"))
    wait_for(lambda: "step" in str((read_snapshot(storage) or {}).get("stages")))
    driver.send_signal(signal.SIGINT)
    assert driver.wait(timeout=60) == 130
    assert state.exists()
    told = " ".join((tmp_path / "driver.log").read_text().split())
    assert "stopping: writing what is whole, and the state of a batch in training (Ctrl-C" in told
    assert "could not be kept" not in told


def test_a_finished_job_is_left_alone_and_a_new_picture_is_all_that_runs(tmp_path: Path, local_ray: None) -> None:
    source = bucket(tmp_path / "in", {"a": "", "b": "", "c": ""})
    spec = toy_spec(source, tmp_path / "out")
    run_toy(spec)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.parquet")}
    assert not run_toy(spec)[0].worked
    bucket(source, {"d": ""})
    assert run_toy(spec)[0].worked
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.parquet")}
    assert {path: after[path] for path in before} == before
    assert len(rows_of(tmp_path / "out", "handles")) == 4


def test_other_settings_do_not_resume_and_cluster_settings_do(tmp_path: Path, local_ray: None) -> None:
    source = bucket(tmp_path / "in", {"a": ""})
    run_toy(toy_spec(source, tmp_path / "out"))
    with pytest.raises(
        OutputError, match=r"other settings \(extract.phase1.lr: 0.0005 -> 0.001\); put the fields back"
    ):
        run_toy(toy_spec(source, tmp_path / "out", extract={"batch": 4, "phase1": {"lr": 1e-3}}))
    with pytest.raises(OutputError, match=r"generate.prompts.*source.handles="):
        run_toy(toy_spec(source, tmp_path / "out", generate={"prompts": ["{handles}"]}))
    assert not run_toy(toy_spec(source, tmp_path / "out", extract={"batch": 1}, cluster={"extract": {"workers": 7}}))[
        0
    ].worked
    (tmp_path / "model" / "config.json").write_text('{"other": "weights"}')
    with pytest.raises(OutputError, match="models.base: 'sha256"):
        run_toy(toy_spec_again(source, tmp_path / "out"))


def toy_spec_again(source: Path, output: Path) -> Any:
    spec = toy_spec(source, output)
    (source.parent / "model" / "config.json").write_text('{"other": "weights"}')
    return spec


def test_workers_and_batches_change_no_result(tmp_path: Path, local_ray: None) -> None:
    source = bucket(tmp_path / "in", dict.fromkeys("abcdefg", ""))
    run_toy(toy_spec(source, tmp_path / "one", extract={"batch": 1}, cluster={"extract": {"workers": 1}}))
    run_toy(
        toy_spec(
            source,
            tmp_path / "many",
            extract={"batch": 4},
            pack={"scenes_per_shard": 7},
            cluster={"extract": {"workers": 3, "cpus": 0.5}},
        )
    )
    one, many = (
        {row["scene_id"]: row["embedding"] for row in rows_of(tmp_path / name, "handles")} for name in ("one", "many")
    )
    assert one == many
    assert len(one) == 7


def test_the_stage_is_prepared_once_however_many_workers(tmp_path: Path, local_ray: None) -> None:
    source = bucket(tmp_path / "in", dict.fromkeys("abcdefgh", "extract:slow 0.2"))
    run_toy(toy_spec(source, tmp_path / "out", extract={"batch": 1}, cluster={"extract": {"workers": 2, "cpus": 0.5}}))
    assert (tmp_path / "out" / "_shared" / "prepared-extract").read_text() == "once\n"


def test_duplicates_and_unreadable_files_are_rows(tmp_path: Path, local_ray: None) -> None:
    source = bucket(tmp_path / "in", {"a": "", "b": ""})
    (source / "copy.jpg").write_bytes((source / "a.jpg").read_bytes())
    run_toy(toy_spec(source, tmp_path / "out"))
    rows = named(rows_of(tmp_path / "out", "scenes"))
    assert rows["copy"]["status"] == "duplicate"
    assert rows["copy"]["error"].endswith("a.jpg")
    assert len(rows_of(tmp_path / "out", "handles")) == 2


def test_missing_source_and_missing_handles_are_one_sentence(tmp_path: Path) -> None:
    spec = toy_spec(tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(SpecError, match="source.uri"):
        open_job(spec, TOY_KINDS)
    assert not Storage(str(tmp_path / "out")).exists("run.json")


def test_a_changed_picture_is_told_of_and_made_anew_when_asked(tmp_path: Path, local_ray: None) -> None:
    source = bucket(tmp_path / "in", {"a": "", "b": "", "c": ""})
    (source / "z-copy.jpg").write_bytes((source / "a.jpg").read_bytes())
    spec = toy_spec(source, tmp_path / "out")
    run_toy(spec)
    before = {row["scene_id"]: row for row in rows_of(tmp_path / "out", "handles")}
    old = named(rows_of(tmp_path / "out", "scenes"))
    os.utime(source / "c.jpg")
    (source / "a.jpg").write_text("a, corrected")

    result, printed = run_toy(spec)
    assert not result.worked
    assert result.stale == [f"{source / 'a.jpg'}: its picture changed"], "a touch alone changes nothing"
    assert "left as they are: 1 scene: " in printed
    assert named(rows_of(tmp_path / "out", "scenes")) == old

    result, printed = run_toy(spec, refresh=True)
    assert result.worked
    after = {row["scene_id"]: row for row in rows_of(tmp_path / "out", "handles")}
    rows = named(rows_of(tmp_path / "out", "scenes"))
    assert rows["a"]["scene_id"] == id_of(source / "a.jpg") != old["a"]["scene_id"]
    assert set(after) == {row["scene_id"] for row in rows.values()}
    assert rows["z-copy"]["scene_id"] == old["a"]["scene_id"], "the copy of the old bytes is a scene of its own now"
    assert rows["z-copy"]["status"] == "ok"
    kept = [old[name]["scene_id"] for name in "bc"]
    assert {scene: after[scene] for scene in kept} == {scene: before[scene] for scene in kept}
    assert not run_toy(spec)[0].worked
    assert run_toy(spec)[0].stale == []


def test_a_file_repaired_as_told_is_picked_up_by_the_next_run(tmp_path: Path, local_ray: None) -> None:
    source = bucket(tmp_path / "in", {"a": "", "b": "ingest:raise", "d": "extract:raise"})
    (source / "c.jpg").symlink_to(tmp_path / "later.jpg")
    spec = toy_spec(source, tmp_path / "out", ingest={"max_bytes": 1000})
    (source / "e.jpg").write_text("x" * 2000)
    run_toy(spec)
    assert set(named(rows_of(tmp_path / "out", "failures"))) == {"b", "d", "e"}
    (source / "b.jpg").write_text("mended b")
    (source / "d.jpg").write_text("mended d")
    (source / "e.jpg").write_text("smaller")
    (tmp_path / "later.jpg").write_text("there now")
    result, printed = run_toy(spec)
    assert result.worked
    assert "to be made anew: 3 scenes: " in printed
    assert not rows_of(tmp_path / "out", "failures")
    assert {row["scene_id"] for row in rows_of(tmp_path / "out", "handles")} == {
        id_of(source / f"{name}.jpg") for name in "abcde"
    }


def test_a_changed_mask_makes_its_scene_anew_and_a_broken_one_takes_its_results_away(
    tmp_path: Path, local_ray: None
) -> None:
    source = bucket(tmp_path / "in", {"a": "", "b": ""})
    for name in "ab":
        (source / f"{name}.mask0.png").write_text(f"mask of {name}")
    plain = toy_spec(source, tmp_path / "out")
    spec = plain.model_copy(update={"source": plain.source.model_copy(update={"masks": "beside"})})
    run_toy(spec)
    before = {row["scene_id"]: row["seconds"] for row in rows_of(tmp_path / "out", "handles")}
    (source / "b.mask0.png").write_text("corrected")
    result, _ = run_toy(spec)
    assert result.stale == [f"{source / 'b.jpg'}: its masks changed"]
    first = Storage(str(tmp_path / "out")).names("_commits/extract")
    assert run_toy(spec, refresh=True)[0].worked
    again = Storage(str(tmp_path / "out")).names("_commits/extract")
    assert len(again) == len(first) + 1, "the stage was gone through once more"
    assert {row["scene_id"] for row in rows_of(tmp_path / "out", "handles")} == set(before)

    (source / "b.mask1.png").write_text("one more")
    (source / "b.jpg").write_text("ingest:raise")
    run_toy(spec, refresh=True)
    assert {row["scene_id"] for row in rows_of(tmp_path / "out", "handles")} == {id_of(source / "a.jpg")}
    assert set(named(rows_of(tmp_path / "out", "failures"))) == {"b"}

"""`--until` and `--limit`: a job that is run in parts ends as one that was run at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pipeline.commands.opening import open_job
from pipeline.commands.run import run_job
from pipeline.commands.status import status_lines
from pipeline.ledger.plan import read_plan
from pipeline.storage.folder import Storage
from schemas.errors import CommandError, SpecError
from schemas.job import JobSpec
from tests.support.toy_stages import TOY_KINDS
from tests.whole_jobs.test_faults import bucket, named, rows_of, run_toy, toy_spec


def limited(spec: JobSpec, limit: int | None) -> JobSpec:
    return spec.model_copy(update={"source": spec.source.model_copy(update={"limit": limit})})


def until(spec: JobSpec, stage: str) -> Any:
    return run_job(spec, Console(quiet=True), TOY_KINDS, until=stage, command="unscene run job.yaml")


def files_of(output: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes())
        for folder in ("scenes", "handles")
        for path in (output / folder).glob("*")
    }


def test_a_job_goes_on_from_where_it_was_told_to_stop(tmp_path: Path, local_ray: None) -> None:
    texts = {"a": "", "b": "ingest:raise", "c": "extract:raise", "d": "", "e": ""}
    spec, out = toy_spec(bucket(tmp_path / "in", texts), tmp_path / "out"), tmp_path / "out"
    first = until(spec, "ingest")
    assert (first.complete, first.worked, first.until, set(first.counts)) == (True, True, "ingest", {"ingest"})
    assert len(rows_of(out, "scenes")) == 5
    assert not (out / "handles").exists()
    assert not (out / "failures").exists(), "a shard's failures are committed once a round: they would lack extract's"
    assert not list((out / "_shared").glob("prepared-extract")), "nothing of a later stage was started"
    assert any("2 shards to go; `unscene run job.yaml` goes on" in line for line in status_lines(Storage(str(out))))
    scenes = {path.name: path.stat().st_mtime_ns for path in (out / "scenes").iterdir()}

    again = until(spec, "ingest")
    assert (again.complete, again.worked, again.log) == (True, False, None)

    rest, _ = run_toy(spec)
    assert (rest.complete, rest.worked, rest.until) == (True, True, None)
    assert {path.name: path.stat().st_mtime_ns for path in (out / "scenes").iterdir()} == scenes
    assert {name: row["stage"] for name, row in named(rows_of(out, "failures")).items()} == {
        "b": "ingest",
        "c": "extract",
    }
    run_toy(toy_spec(Path(str(spec.source.uri)), tmp_path / "at-once"))
    assert rows_of(out, "handles") == rows_of(tmp_path / "at-once", "handles")
    assert any("finished" in line for line in status_lines(Storage(str(out))))


def test_a_repaired_file_is_taken_up_by_the_same_part(tmp_path: Path, local_ray: None) -> None:
    source, out = bucket(tmp_path / "in", {"a": "", "b": "ingest:raise"}), tmp_path / "out"
    spec = toy_spec(source, out)
    assert until(spec, "ingest").counts["ingest"] == (1, 1)
    bucket(source, {"b": ""})
    assert until(spec, "ingest").counts["ingest"] == (2, 0)
    assert run_toy(spec)[0].counts["extract"] == (2, 0)
    assert not rows_of(out, "failures")


def test_a_failed_scene_is_tried_again_before_anything_trains(tmp_path: Path, local_ray: None) -> None:
    flag, out = tmp_path / "mended", tmp_path / "out"
    spec = toy_spec(bucket(tmp_path / "in", {"a": "", "b": f"ingest:until {flag}", "c": ""}), out)
    assert until(spec, "ingest").counts["ingest"] == (2, 1)
    flag.touch()
    assert not until(spec, "ingest").worked
    again = run_job(spec, Console(quiet=True), TOY_KINDS, until="ingest", retry=True, refresh=True)
    assert (again.counts["ingest"], again.until) == ((3, 0), "ingest")
    assert not (out / "handles").exists()
    assert run_toy(spec)[0].counts["extract"] == (3, 0)
    assert not rows_of(out, "failures")


def test_the_last_stage_is_the_whole_job_and_another_is_told(tmp_path: Path, local_ray: None) -> None:
    spec = toy_spec(bucket(tmp_path / "in", {"a": "extract:raise"}), tmp_path / "out")
    with pytest.raises(CommandError, match=r"--until segmnt: this job has no stage of that name; it has ingest, extr"):
        until(spec, "segmnt")
    assert not (tmp_path / "out").exists()
    result = until(spec, "extract")
    assert result.until is None
    assert len(rows_of(tmp_path / "out", "failures")) == 1


def test_the_first_few_keep_their_numbers_when_the_rest_follows(tmp_path: Path, local_ray: None) -> None:
    spec, out = toy_spec(bucket(tmp_path / "in", dict.fromkeys("abcdefg", "")), tmp_path / "out"), tmp_path / "out"
    result, _ = run_toy(limited(spec, 2))
    assert result.counts["extract"] == (2, 0)
    assert sorted(named(rows_of(out, "scenes"))) == ["a", "b"]
    before = files_of(out)
    assert not run_toy(limited(spec, 2))[0].worked
    assert not run_toy(limited(spec, 1))[0].worked, "what is made stays, and nothing of it is left to do"
    result, said = run_toy(spec)
    assert result.counts["extract"] == (7, 0)
    assert "no longer there" not in said
    after = files_of(out)
    assert {name: after[name] for name in before} == before, "not even written anew"
    assert not rows_of(out, "failures")
    run_toy(toy_spec(Path(str(spec.source.uri)), tmp_path / "at-once"))
    embeddings = [
        {row["scene_id"]: row["embedding"] for row in rows_of(folder, "handles")}
        for folder in (out, tmp_path / "at-once")
    ]
    assert embeddings[0] == embeddings[1]


def test_a_limit_below_what_is_planned_and_not_made_is_refused(tmp_path: Path) -> None:
    """Or `--limit 2` would train all that an interrupted run has planned."""
    spec = toy_spec(bucket(tmp_path / "in", dict.fromkeys("abcde", "")), tmp_path / "out")
    open_job(limited(spec, 4), TOY_KINDS)
    record = (tmp_path / "out" / "run.json").read_bytes()
    with pytest.raises(
        SpecError, match=r"source.limit: 2: .*/out has planned 2 pictures beyond it already and not fin"
    ):
        open_job(limited(spec, 2), TOY_KINDS)
    assert (tmp_path / "out" / "run.json").read_bytes() == record, "`retry` goes by the last limit that was accepted"
    assert len(open_job(limited(spec, 4), TOY_KINDS).open_shards) == 1
    assert len(open_job(spec, TOY_KINDS).open_shards) == 2
    assert read_plan(Storage(spec.output)).scene_count() == 5


def test_a_run_leaves_a_log_of_what_it_told(tmp_path: Path, local_ray: None) -> None:
    spec = toy_spec(bucket(tmp_path / "in", {"a": "", "b": "extract:die"}), tmp_path / "out")
    result, said = run_toy(spec)
    (file,) = (tmp_path / "out" / "_logs").glob("*.log")
    assert result.log is not None
    assert result.log.name == f"_logs/{file.name}"
    text = file.read_text()
    assert "extract: shard 000000 committed, 1 done, 1 failed" in text
    assert "Ray keeps the logs of its workers on each machine, here under /" in text
    told = [line for line in said.splitlines() if "splitting them" in line]
    assert told
    assert all(line.strip() in text for line in told)
    assert not run_toy(spec)[0].worked
    assert len(list((tmp_path / "out" / "_logs").glob("*.log"))) == 1, "a run that had nothing to do leaves none"

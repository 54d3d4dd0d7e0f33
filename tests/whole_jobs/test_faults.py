"""Invariant 6: one bad scene costs one scene, whatever it does to its process."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pipeline.commands.run import JobResult, run_job
from pipeline.ledger.committed import Committed
from pipeline.ledger.retries import failed_shards
from pipeline.scheduling import waiting
from pipeline.shards.tables import read_rows
from pipeline.storage.folder import Storage
from schemas.errors import JobError
from schemas.job import JobSpec
from schemas.records import scene_id_of
from tests.support.toy_stages import TOY_KINDS

pytestmark = pytest.mark.usefixtures("local_ray")


def bucket(folder: Path, texts: dict[str, str]) -> Path:
    """Files whose text says what happens to their scene."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.jpg").write_text(f"{name}\n{text}")
    return folder


def toy_spec(source: Path, output: Path, **settings: Any) -> JobSpec:
    model = source.parent / "model"
    model.mkdir(exist_ok=True)
    (model / "config.json").write_text("{}")
    tree: dict[str, Any] = {
        "models": {"base": str(model), "sam": str(model)},
        "source": {"uri": str(source)},
        "output": str(output),
        "pack": {"scenes_per_shard": 4},
        "extract": {"batch": 4},
        **settings,
    }
    return JobSpec.model_validate(tree)


def run_toy(spec: JobSpec, **how: bool) -> tuple[JobResult, str]:
    printed = io.StringIO()
    result = run_job(spec, Console(file=printed, width=200), TOY_KINDS, **how)
    return result, printed.getvalue()


def rows_of(output: Path, table: str) -> list[dict[str, Any]]:
    storage = Storage(str(output))
    shards = [int(name[-14:-8]) for name in storage.names(table) if name.endswith(".parquet")]
    return [row for shard in sorted(shards) for row in read_rows(storage, table, shard)]


def id_of(file: Path) -> str:
    return scene_id_of(hashlib.sha256(file.read_bytes()).hexdigest())


def named(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {Path(row["uri"]).stem: row for row in rows}


def test_each_kind_of_bad_scene_is_one_row_and_the_others_finish(tmp_path: Path) -> None:
    source = bucket(
        tmp_path / "in",
        {
            "a": "",
            "b": "extract:die",
            "c": "",
            "d": "extract:hang",
            "e": "extract:raise",
            "f": "",
            "g": "ingest:raise",
            "h": "extract:crash-batch",
            "i": "",
        },
    )
    spec = toy_spec(source, tmp_path / "out", cluster={"extract": {"deadline_s": 8}, "max_attempts": 2})
    result, _ = run_toy(spec)
    assert result.complete
    failures = named(rows_of(tmp_path / "out", "failures"))
    assert {name: row["error"] for name, row in failures.items()} == {
        "b": "ProcessDied",
        "d": "Timeout",
        "e": "ValueError",
        "g": "ValueError",
        "h": "RuntimeError",
    }
    assert failures["b"]["attempt"] == 2
    assert failures["e"]["attempt"] == 2, "it may have been the process: another tried it again"
    assert "does not like" in failures["e"]["message"]
    assert "suffer" in failures["e"]["traceback"]
    assert "deadline_s = 8" in failures["d"]["message"]
    done = {row["scene_id"] for row in rows_of(tmp_path / "out", "handles")}
    scenes = named(rows_of(tmp_path / "out", "scenes"))
    assert done == {scenes[name]["scene_id"] for name in "acfi"}
    assert {name: row["status"] for name, row in scenes.items()} == {**dict.fromkeys("abcdefhi", "ok"), "g": "failed"}


def test_a_transient_error_is_tried_again_and_a_flaky_process_recovers(tmp_path: Path) -> None:
    source = bucket(tmp_path / "in", {"a": f"extract:flaky {tmp_path / 'seen'}", "b": "extract:timeout", "c": ""})
    result, log = run_toy(toy_spec(source, tmp_path / "out"))
    failures = named(rows_of(tmp_path / "out", "failures"))
    assert result.complete
    assert set(failures) == {"b"}
    assert failures["b"]["error"] == "TimeoutError"
    assert failures["b"]["attempt"] == 3
    assert "splitting" in log


def test_a_poisoned_process_costs_no_scene(tmp_path: Path) -> None:
    """After an error of the GPU everything fails in that process: another does it. Only the scene's own is final."""
    texts = dict.fromkeys("abcdefgh", "") | {"b": f"extract:poison {tmp_path / 'seen'}", "c": "extract:own"}
    source = bucket(tmp_path / "in", texts)
    result, log = run_toy(toy_spec(source, tmp_path / "out"))
    assert result.complete
    failures = named(rows_of(tmp_path / "out", "failures"))
    assert {name: (row["error"], row["attempt"]) for name, row in failures.items()} == {"c": ("SceneError", 1)}
    assert "a worker of extract met RuntimeError, which may be the process's fault: another goes on" in log


def test_a_job_that_fails_everywhere_stops_and_the_same_command_tries_again(tmp_path: Path) -> None:
    flag = tmp_path / "mended"
    source = bucket(tmp_path / "in", {f"{n:02d}": f"extract:until {flag}" for n in range(12)} | {"own": "extract:own"})
    cluster = {"max_attempts": 1, "max_failure_rate": 0.6, "max_failure_rate_after": 6}
    spec = toy_spec(source, tmp_path / "out", cluster=cluster, pack={"scenes_per_shard": 13})
    with pytest.raises(JobError, match=r"cluster.max_failure_rate: \d+ of \d+ scenes of extract.*not there yet"):
        run_toy(spec)
    assert not rows_of(tmp_path / "out", "failures")
    flag.touch()
    assert run_toy(spec)[0].complete
    assert set(named(rows_of(tmp_path / "out", "failures"))) == {"own"}
    assert len(rows_of(tmp_path / "out", "handles")) == 12


def test_a_worker_that_nothing_can_carry_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "FIRST_S", 1.0)
    source = bucket(tmp_path / "in", {"a": ""})
    spec = toy_spec(source, tmp_path / "out", cluster={"extract": {"gpus": 2}})
    printed = io.StringIO()
    said = "extract has waited 1 s for a worker with 1 core and 2 GPUs: no node has that (2 cores and 0 GPUs)"

    def stop_once_told() -> None:
        until = time.monotonic() + 120
        while said not in printed.getvalue() and time.monotonic() < until:
            time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=stop_once_told).start()
    result = run_job(spec, Console(file=printed, width=200), TOY_KINDS)
    assert not result.complete
    assert said in printed.getvalue()


def test_a_stage_that_cannot_start_stops_the_job_and_loses_nothing(tmp_path: Path) -> None:
    source = bucket(tmp_path / "in", {"a": "", "b": ""})
    spec = toy_spec(source, tmp_path / "out", extract={"init_word": "broken-setup"})
    with pytest.raises(JobError, match=r"extract failed to start 3 times.*no such driver"):
        run_toy(spec)
    assert len(rows_of(tmp_path / "out", "scenes")) == 2
    assert not rows_of(tmp_path / "out", "handles")


def test_retry_gives_failed_scenes_another_chance_in_their_own_shard(tmp_path: Path) -> None:
    flag = tmp_path / "mended"
    source = bucket(
        tmp_path / "in",
        {"a": "", "b": f"extract:until {flag}", "c": "", "d": "extract:raise", "e": "", "f": f"ingest:until {flag}"},
    )
    spec = toy_spec(source, tmp_path / "out", cluster={"max_attempts": 1})
    run_toy(spec)
    before = {row["scene_id"]: row for row in rows_of(tmp_path / "out", "handles")}
    assert set(named(rows_of(tmp_path / "out", "failures"))) == {"b", "d", "f"}
    flag.touch()
    assert failed_shards(Committed(Storage(str(tmp_path / "out")), ["failures"]), {}) == [0, 1]
    result, _ = run_toy(spec, retry=True)
    assert result.worked
    after = {row["scene_id"]: row for row in rows_of(tmp_path / "out", "handles")}
    assert set(named(rows_of(tmp_path / "out", "failures"))) == {"d"}
    assert len(rows_of(tmp_path / "out", "handles")) == len(after) == 5
    assert {scene: after[scene] for scene in before} == before
    scenes = rows_of(tmp_path / "out", "scenes")
    assert len(scenes) == 6
    assert {row["status"] for row in scenes} == {"ok"}
    assert not run_toy(spec)[0].worked

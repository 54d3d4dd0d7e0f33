"""`unscene withdraw`: one scene leaves the job, also while it runs; the others do not notice."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from pipeline.commands.closing import nothing_to_do
from pipeline.ledger.plan import read_plan
from pipeline.ledger.withdrawals import FOLDER, withdraw, withdrawn_scenes
from pipeline.storage.folder import Storage
from schemas.errors import CommandError, OutputError
from tests.support.sample_output import SampleOutput
from tests.whole_jobs.test_faults import bucket, id_of, named, rows_of, run_toy, toy_spec


@pytest.mark.usefixtures("local_ray")
def test_a_withdrawn_scene_is_a_failure_and_stays_one_until_it_is_wanted_again(tmp_path: Path) -> None:
    source = bucket(tmp_path / "in", {"a": "ingest:slow 3", "b": "", "c": ""})
    spec, storage = toy_spec(source, tmp_path / "out"), Storage(str(tmp_path / "out"))
    gone = id_of(source / "b.jpg")

    def mark() -> None:
        """As soon as the plan is there, while the first unit (all three scenes) is in ingest."""
        for _ in range(600):
            if len(read_plan(storage)):  # not merely a file of it that is still being written
                withdraw(storage, gone[:8])
                return
            time.sleep(0.05)

    stale = tmp_path / "out" / "_shared" / "scratch" / "batch.safetensors"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"of a batch that was cut otherwise later")
    other = threading.Thread(target=mark)
    other.start()
    result, _ = run_toy(spec)
    other.join()
    assert result.complete
    assert not stale.parent.exists(), "scratch does not outlive a finished job"
    failures = named(rows_of(tmp_path / "out", "failures"))
    assert {name: row["error"] for name, row in failures.items()} == {"b": "Withdrawn"}
    assert "withdrawn before" in failures["b"]["message"]
    assert {row["scene_id"] for row in rows_of(tmp_path / "out", "handles")} == {
        id_of(source / f"{name}.jpg") for name in "ac"
    }

    assert failures["b"]["attempt"] == 0, "it was never tried"

    result, _ = run_toy(spec, retry=True)
    assert list(named(rows_of(tmp_path / "out", "failures"))) == ["b"], "a retry does not bring it back"
    assert not result.worked, "nor does it start Ray for that"
    assert nothing_to_do(result, retry=True) == "nothing to do: no scene has failed that can be tried again"

    withdraw(storage, gone, undo=True)
    run_toy(spec, retry=True)
    assert rows_of(tmp_path / "out", "failures") == []
    assert len(rows_of(tmp_path / "out", "handles")) == 3


def test_no_such_scene_and_no_such_output_are_one_sentence(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    with pytest.raises(OutputError, match=r"no run\.json there"):
        withdraw(storage, "abc")
    storage.create("run.json", b'{"spec": {"source": {"uri": "/photos"}, "output": "out"}}')
    with pytest.raises(CommandError, match=r"--scene abc: no scene of the plan begins so"):
        withdraw(storage, "abc")


def test_who_was_meant_is_said_by_its_path(tmp_path: Path) -> None:
    sample = SampleOutput(tmp_path / "my out")
    assert "(broken.jpg): withdrawn; what is committed of it stays" in withdraw(sample.storage, "broken")
    said = withdraw(sample.storage, "broken.jpg", undo=True)
    assert said.endswith(f"`unscene retry '{sample.storage.url}'` makes it"), "a path with a space is quoted"


def test_a_storage_that_does_not_answer_withdraws_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Storage(str(tmp_path))
    storage.create(f"{FOLDER}/scene", b"")
    assert withdrawn_scenes(storage) == {"scene"}

    def broken(folder: str) -> dict[str, int]:
        raise ConnectionError("no route")

    monkeypatch.setattr(storage, "names", broken)
    assert withdrawn_scenes(storage) == frozenset()

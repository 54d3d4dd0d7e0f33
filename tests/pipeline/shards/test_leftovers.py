"""Wherever a process ends, the same command goes on to the same bytes and leaves nothing behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.ledger.commits import Commit, attempt_folder, commit, new_attempt
from pipeline.shards.leftovers import cleared, sweep
from pipeline.shards.parts import part_name
from pipeline.storage.folder import Storage
from tests.support import ROOT

HEX = "0123456789abcdef" * 2


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "out"))


@pytest.mark.parametrize("share", [0.03, pytest.param(1.0, marks=pytest.mark.prove)])
def test_a_process_that_ends_between_any_two_changes(tmp_path: Path, share: float) -> None:
    """`share` of the points at which it can, between two changes on disk."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.crash_points", str(tmp_path), str(share)],
        capture_output=True, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    tried, points = (int(number) for number in re.findall(r"\d+", done.stdout))
    assert points > 150
    assert tried >= share * points / 2


def test_parts_and_attempts_go_when_their_round_is_decided_and_no_sooner(storage: Storage) -> None:
    for shard, round_ in ((0, 0), (0, 1), (0, 2), (1, 0)):
        storage.write(part_name("extract", shard, round_, "aaaa"), b"")
        storage.write(f"{attempt_folder('extract', shard, new_attempt(round_))}/handles.tar", b"")
    assert commit(storage, Commit("extract", 0, 1, new_attempt(1), [], [], []))
    sweep(storage, ["extract"])
    assert storage.folders("_work/extract") == ["000000.r2", "000001.r0"]
    kept = storage.folders("_attempts/extract")
    assert [name[:9] for name in kept] == ["000000-r2", kept[1][:9]]
    assert kept[1].startswith("000001-")


def test_half_made_files_of_before_are_gone_after_the_run_and_those_of_others_stay(storage: Storage) -> None:
    half = ("run.json.{}.tmp", "handles/handles-000000.tar.{}.tmp", "_commits/extract/000000.json.{}.tmp")
    for name in (*half, "_probe-{}", "_lease/000001.json.{}.tmp", "_shared/prior.{}.partial", "handles/mine.tmp"):
        storage.write(name.format(HEX), b"")
    with cleared(storage, ["extract"], ["handles"]):
        storage.write(f"_probe-{HEX[::-1]}", b"")  # of a run that starts now, and will be refused
    left = {str(file.relative_to(storage.root)) for file in Path(storage.root).rglob("*") if file.is_file()}
    assert left == {"handles/mine.tmp", f"_probe-{HEX[::-1]}"}


def test_a_run_that_failed_leaves_them_to_the_next(storage: Storage) -> None:
    storage.write(f"_probe-{HEX}", b"")
    with pytest.raises(OSError, match="full"), cleared(storage, [], []):
        raise OSError("the disk is full")
    assert set(storage.names("")) == {f"_probe-{HEX}"}
    with cleared(storage, [], []):
        pass
    assert not storage.names("")

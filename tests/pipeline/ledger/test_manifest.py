"""The manifest spares the reading of commits and decides nothing: without it, or with a wrong one, all is as before."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.commands.status import status_lines
from pipeline.ledger import committed as committed_module
from pipeline.ledger import manifest
from pipeline.ledger.commits import Commit, ShardFile, commit, commit_name
from pipeline.ledger.committed import Committed
from pipeline.ledger.manifest import read_manifest
from pipeline.ledger.repair import repair
from pipeline.ledger.rounds import Ledger
from pipeline.storage.folder import Storage
from tests.support.sample_output import SampleOutput

STAGES = ("ingest", "segment", "extract", "generate", "evaluate", "failures")


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return SampleOutput(tmp_path / "out").storage


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are read."""
    found: list[str] = []
    plain = Storage.read
    monkeypatch.setattr(Storage, "read", lambda self, name: found.append(name) or plain(self, name))
    return found


def told(storage: Storage) -> dict[str, Any]:
    found = Committed(storage, STAGES)
    return {
        stage: (
            found.rounds(stage),
            found.counts(stage),
            found.first_rows(stage),
            found.errors(stage),
            found.lost(stage),
            found.failures(stage, 500),
            found.files(stage),
            list(found.tallies(stage)),
        )
        for stage in STAGES
    }


def commits_among(read: list[str]) -> list[str]:
    return [name for name in read if name.startswith("_commits/") and name.endswith(".json")]


def made(stage: str, shard: int, done: list[str], round_: int = 0) -> Commit:
    return Commit(stage, shard, round_, "a" * 12, [ShardFile("x/x.parquet", 1, "0" * 64, len(done))], done, [])


def test_it_says_what_the_commits_say_and_spares_their_reading(storage: Storage, read: list[str]) -> None:
    before = told(storage)
    assert before["extract"][1] == (3, 1)
    Committed(storage, STAGES).roll_up()
    read.clear()
    assert told(storage) == before
    assert commits_among(read) == [  # for the rows of the failures, and no others
        commit_name(stage, shard, 0) for stage in STAGES for shard in before[stage][4]
    ]
    Committed(storage, STAGES).roll_up()
    assert len(read_manifest(storage).names) == 1  # nothing to add


def test_status_and_repair_read_a_few_files(storage: Storage, read: list[str]) -> None:
    before = status_lines(storage)
    Committed(storage, STAGES).roll_up()
    read.clear()
    assert status_lines(storage) == before
    assert len(commits_among(read)) == 2  # of the two failures that it shows
    read.clear()
    repair(storage, STAGES)
    assert not commits_among(read)


def eight_bytes_turned(data: bytes) -> bytes:
    """As a disk does it: the size stays."""
    middle = len(data) // 2
    return data[:middle] + bytes(byte ^ 0xFF for byte in data[middle : middle + 8]) + data[middle + 8 :]


@pytest.mark.parametrize(
    "harm", [lambda data: data[:100], lambda data: b"", lambda data: b"\xff" * len(data), eight_bytes_turned]
)
def test_one_that_is_damaged_is_told_of_left_out_and_made_anew(
    storage: Storage, caplog: pytest.LogCaptureFixture, harm: Callable[[bytes], bytes]
) -> None:
    before = told(storage)
    Committed(storage, STAGES).roll_up()
    (name,) = read_manifest(storage).names
    storage.write(f"_commits/{name}", harm(storage.read(f"_commits/{name}")))
    with caplog.at_level(logging.WARNING):
        assert told(storage) == before
    (line,) = {record.getMessage() for record in caplog.records}
    assert f"_commits/{name} is damaged: the commits that it stood for are read one by one" in line
    caplog.clear()
    Committed(storage, STAGES).roll_up()
    caplog.clear()
    assert told(storage) == before
    assert not caplog.records
    assert name not in read_manifest(storage).names


def test_many_commits_without_one_are_told_of(
    storage: Storage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committed_module, "LAGS", 1)
    before = told(storage)
    assert "has no rows of 2 commits of extract, which are read one by one" in caplog.text
    Committed(storage, STAGES).roll_up()
    caplog.clear()
    assert told(storage) == before
    assert not caplog.text


def test_a_deleted_commit_counts_no_more_and_the_one_that_follows_it_does(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path / "out"))
    first = [replace(made("extract", shard, ["aaaa"]), host="x" * 100) for shard in (0, 1)]
    for record in first:
        commit_alone(storage, record)
    Committed(storage, ["extract"]).roll_up()
    storage.delete(commit_name("extract", 0, 0))
    found = Committed(storage, ["extract"])
    assert (found.rounds("extract"), found.counts("extract")) == ({1: 0}, (1, 0))
    found.roll_up()  # as a run does when it opens the output, before it makes the shard again
    again = replace(made("extract", 0, []), failures=[{"error": "Bad"}])
    again = replace(again, host="x" * (len(first[0].to_json()) - len(again.to_json())))
    assert len(again.to_json()) == len(first[0].to_json()), "a listing shows no difference"
    commit_alone(storage, again)
    assert Committed(storage, ["extract"]).counts("extract") == (1, 1)


def test_a_later_round_stands_in_for_the_earlier_and_back(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path / "out"))
    commit_alone(storage, made("extract", 0, ["aaaa"]))
    Committed(storage, ["extract"]).roll_up()
    commit_alone(storage, made("extract", 0, ["aaaa", "bbbb"], round_=1))
    for _ in range(2):
        found = Committed(storage, ["extract"])
        assert found.counts("extract") == (2, 0)
        found.roll_up()
    storage.delete(commit_name("extract", 0, 1))
    for _ in range(2):
        found = Committed(storage, ["extract"])
        assert (found.rounds("extract"), found.counts("extract")) == ({0: 0}, (1, 0))
        found.roll_up()


def test_a_run_rolls_up_what_it_commits(tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committed_module, "EVERY", 4)
    monkeypatch.setattr(manifest, "MOST", 2)
    storage = Storage(str(tmp_path / "out"))
    ledger = Ledger(storage, ["extract"])
    for shard in range(21):
        commit_alone(storage, made("extract", shard, [f"{shard:016x}"]))
        ledger.note("extract", shard, 0)
        found = ledger.commit("extract", shard)  # as a shard on its way is looked at
        assert found is not None
        assert found.done == [f"{shard:016x}"]
        assert not [name for name in read if "manifest" in name], "a run need not read again what it has written"
        there = read_manifest(storage)
        assert len(there.names) <= 3
        assert ledger.committed._manifest == there
        read[:] = commits_among(read)
    assert len(commits_among(read)) == 21 + 5, "the fourth of each four was not looked at yet"
    read.clear()
    assert Committed(storage, ["extract"]).counts("extract") == (21, 0)
    assert len(commits_among(read)) == 1  # the last is not rolled up
    ledger.committed.roll_up()
    read.clear()
    assert Committed(storage, ["extract"]).counts("extract") == (21, 0)
    assert not commits_among(read)


def test_two_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    """A driver that comes back late adds to the manifest of the one that took over."""
    storage = Storage(str(tmp_path / "out"))
    commit_alone(storage, made("extract", 0, ["aaaa"]))
    late = Committed(storage, ["extract"])
    late.counts("extract")
    assert not late._manifest.names
    commit_alone(storage, made("extract", 1, ["bbbb"]))
    Committed(storage, ["extract"]).roll_up()
    late.roll_up()
    assert Committed(storage, ["extract"]).counts("extract") == (2, 0)


def test_a_commit_of_an_older_unscene_is_summed_up_by_its_tables(storage: Storage) -> None:
    import json

    from pipeline.shards.account import account_counts
    from pipeline.shards.concept_counts import handle_counts
    from pipeline.shards.scores import score_numbers

    before = account_counts(storage), handle_counts(storage)
    scores = score_numbers(storage)
    assert scores.count
    assert sum(before[0].values()) == 6
    for stage in STAGES:
        for shard in (0, 1):
            path = Path(storage.path(commit_name(stage, shard, 0)))
            tree = json.loads(path.read_text())
            del tree["tally"]
            path.write_text(json.dumps(tree))
    assert (account_counts(storage), handle_counts(storage)) == before
    older = score_numbers(storage)
    assert (older.count, older.kept, older.dropped) == (scores.count, scores.kept, scores.dropped)
    assert older.prompt_sum == pytest.approx(scores.prompt_sum)


def commit_alone(storage: Storage, record: Commit) -> None:
    """A commit whose file is there already."""
    (file,) = record.files
    storage.write(file.path, b"x")
    assert commit(storage, record)

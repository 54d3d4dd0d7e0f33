"""A scene that is withdrawn when it is made already leaves its trace in the account; one that is not becomes a
failure."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline import cli
from pipeline.ledger.withdrawals import withdraw
from pipeline.shards.account import account_counts, account_rows, account_text, line_text
from pipeline.shards.withdrawn_account import WITHDRAWN_ACCOUNT, account_withdrawn
from pipeline.storage.folder import Storage
from tests.support.sample_output import SampleOutput


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return SampleOutput(tmp_path / "out").storage


def test_the_command_leaves_a_line_of_its_own_and_takes_it_back(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = account_counts(storage)
    typed = ["unscene", "withdraw", storage.url, "--scene", "/photos/0000/<script>alert(1)</script>.jpg"]
    monkeypatch.setattr("sys.argv", typed)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code, capsys.readouterr()
    rows = pq.read_table(Path(storage.root) / WITHDRAWN_ACCOUNT).to_pylist()
    assert [(row["kind"], row["outcome"], row["reason"]) for row in rows] == [
        ("withdrawal", "withdrawn", "after it was made")
    ]
    counts = account_counts(storage)
    assert counts - before == {("withdrawal", "withdrawn", "after it was made"): 1}, "its file's line stays"
    assert "account of 1 withdrawal: 1 withdrawn" in account_text(counts)
    assert any("after it was made" in line_text(row) for row in account_rows(storage, 10))
    monkeypatch.setattr("sys.argv", [*typed, "--undo"])
    with pytest.raises(SystemExit):
        cli.main()
    assert account_counts(storage) == before


def test_a_scene_that_is_not_through_has_no_such_line(tmp_path: Path) -> None:
    sample = SampleOutput(tmp_path / "out")
    withdraw(sample.storage, sample.failing)
    account_withdrawn(sample.storage)
    assert not sample.storage.exists(WITHDRAWN_ACCOUNT)

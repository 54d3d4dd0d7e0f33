"""The OUTPUT's own card: Hugging Face's datasets reads each table by its name, beside the tars."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.commands.planning import write_source_account
from pipeline.ledger.withdrawals import withdraw
from pipeline.report.card import MARK, NAME, foreign_card, is_card_old, write_card
from pipeline.report.page import write_report
from pipeline.shards.withdrawn_account import account_withdrawn
from pipeline.stage_kinds import EXTRACT, INGEST, SEGMENT
from pipeline.storage.folder import Storage
from schemas.outcomes import AccountLine
from tests.support.sample_output import SampleOutput


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> SampleOutput:
    found = SampleOutput(tmp_path_factory.mktemp("card") / "job")
    write_source_account(found.storage, [])  # as a run leaves it whose source has nothing besides pictures
    write_report(found.storage)
    return found


@pytest.mark.parametrize("table", ["scenes", "concepts", "handles", "variations", "scores", "failures", "account"])
def test_datasets_reads_each_table_by_its_name(
    output: SampleOutput, table: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    datasets = pytest.importorskip("datasets")
    cache = str(tmp_path_factory.mktemp("cache"))
    found = datasets.load_dataset(output.storage.url, table, split="train", cache_dir=cache)
    if table == "account":
        assert len(found) > 0
        return
    rows = [row for shard in range(output.plan.shards) for row in _rows(output.storage, table, shard)]
    assert len(found) == len(rows) > 0
    assert sorted(found.column_names) == sorted(rows[0])


def _rows(storage: Storage, table: str, shard: int) -> list[dict]:
    from pipeline.shards.tables import read_rows

    return read_rows(storage, table, shard)


def test_what_was_read_before_is_not_served_for_what_is_there(tmp_path: Path) -> None:
    """datasets keeps what it has read by the folder's name and its card."""
    datasets = pytest.importorskip("datasets")
    cache = str(tmp_path / "cache")
    begun = SampleOutput(tmp_path / "one" / "job", stages=(INGEST,))
    write_card(begun.storage)
    assert "scenes" in datasets.load_dataset(begun.storage.url, "scenes", cache_dir=cache, split="train").config_name
    counts = [len(datasets.load_dataset(begun.storage.url, "scenes", split="train", cache_dir=cache))]
    other = SampleOutput(tmp_path / "two" / "job", stages=(INGEST,), shards=1)
    write_card(other.storage)
    counts.append(len(datasets.load_dataset(other.storage.url, "scenes", split="train", cache_dir=cache)))
    assert counts[0] > counts[1] == len(_rows(other.storage, "scenes", 0))


def test_a_card_is_old_once_the_account_is_another(tmp_path: Path) -> None:
    output = SampleOutput(tmp_path / "job")
    assert is_card_old(output.storage), "there is none"
    write_card(output.storage)
    assert not is_card_old(output.storage)
    write_source_account(output.storage, [AccountLine("file", "notes.txt", "left out", "suffix .txt")])
    assert is_card_old(output.storage)
    write_card(output.storage)
    assert not is_card_old(output.storage)


def test_a_table_of_no_rows_is_left_out_and_the_pictures_are_read_by_default(tmp_path: Path) -> None:
    """datasets says of such a table that there is no data."""
    begun = SampleOutput(tmp_path / "begun", stages=(INGEST, SEGMENT, EXTRACT))
    assert write_card(begun.storage)
    text = (tmp_path / "begun" / NAME).read_text()
    assert "config_name: handles\n" in text
    assert "variations" not in text
    assert "config_name: scenes\n  default: true\n" in text


def test_a_card_that_somebody_else_wrote_stays(tmp_path: Path) -> None:
    begun = SampleOutput(tmp_path / "begun", stages=(INGEST,))
    path = tmp_path / "begun" / NAME
    path.write_text("# Mine\n")
    assert not write_card(begun.storage)
    assert path.read_text() == "# Mine\n"
    assert foreign_card(begun.storage)
    path.unlink()
    assert write_card(begun.storage)
    assert MARK in path.read_text()
    assert write_card(begun.storage), "and our own is written anew"
    assert not foreign_card(begun.storage)


def test_the_account_of_other_withdrawals_is_another(tmp_path: Path) -> None:
    """Of one scene it is as long as of another."""
    output = SampleOutput(tmp_path / "job")
    cards = []
    for scene in output.plan.scenes(0)[:2]:
        withdraw(output.storage, scene)
        account_withdrawn(output.storage)
        write_card(output.storage)
        cards.append(output.storage.read(NAME).decode())
        withdraw(output.storage, scene, undo=True)
    entries = [card[card.index("config_name: account") :].split("data_files")[0] for card in cards]
    assert entries[0] != entries[1]

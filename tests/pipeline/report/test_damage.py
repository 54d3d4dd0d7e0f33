"""Tables that cannot be read: the page says which, and its scenes say so instead of what they would without."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.ledger.committed import Committed
from pipeline.report import damage
from pipeline.report.card import foreign_card
from pipeline.stage_kinds import INGEST, SEGMENT, STAGE_OF
from pipeline.typed import writing
from tests.pipeline.report.test_page import Page, flat, page_of
from tests.support.sample_output import SampleOutput, with_given_handles


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-50])


def scenes_saying(page: Page, said: str) -> list[str]:
    """The two scenes of the damaged shard, which say so."""
    found = [flat(scene) for scene in page.scenes if said in scene]
    assert len(found) == 2
    return found


def test_scores_that_are_gone(tmp_path: Path) -> None:
    sample = SampleOutput(tmp_path / "out", scenes=6)
    (tmp_path / "out/scores/scores-000001.parquet").unlink()
    page = page_of(sample.storage)
    text = flat(page.text)
    top = text[: text.index("Contact sheet", text.index("Run and settings"))]
    assert "Cannot be read: scores/scores-000001.parquet . Their scenes" in top
    assert "delete the commits that name them ( _commits/evaluate/000001.json )" in top
    assert "not scored" not in text
    of_it = scenes_saying(page, "cannot be read")
    assert all("4 pictures, scores cannot be read" in scene for scene in of_it)
    assert all(scene.count("score cannot be read") == 4 for scene in of_it), "and so says each picture"
    assert "score cannot be read 8" in text, "by which the pictures can be filtered"


def test_handles_that_are_cut_off(tmp_path: Path) -> None:
    sample = SampleOutput(tmp_path / "out", scenes=6)
    cut(tmp_path / "out/handles/handles-000001.parquet")
    page = page_of(sample.storage)
    text = flat(page.text)
    assert "Cannot be read: handles/handles-000001.parquet ." in text
    assert "No handles yet" not in text
    scenes_saying(page, "Handles cannot be read.")
    cut(tmp_path / "out/concepts/concepts-000001.parquet")
    page = page_of(sample.storage)
    of_it = scenes_saying(page, "Concepts cannot be read.")
    assert all("asked for 0 its handle cannot be read" in scene for scene in of_it)
    assert "asked for 0 concept 0" not in flat(page.text)


def begun(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:520])


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def overwritten(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


@pytest.mark.parametrize("damaged", [Path.unlink, emptied, begun, overwritten])
@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("handles", "Loss curves cannot be read."),
        ("scenes", "picture not readable"),
        ("variations", "not readable"),
        ("scores", "masks not readable"),
    ],
)
def test_tars_that_are_damaged(tmp_path: Path, table: str, said: str, damaged: Callable[[Path], None]) -> None:
    sample = SampleOutput(tmp_path / "out", scenes=6)
    damaged(tmp_path / f"out/{table}/{table}-000001.tar")
    page = page_of(sample.storage)
    text = flat(page.text)
    assert f"Cannot be read: {table}/{table}-000001.tar . Their scenes" in text
    assert f"delete the commits that name them ( _commits/{STAGE_OF[table]}/000001.json )" in text
    assert len([scene for scene in page.scenes if said in flat(scene)]) == 2
    curves = sum("Loss curves (dashed" in flat(scene) for scene in page.scenes)
    assert curves + text.count("Loss curves cannot be read.") == 5, "one failed in extract"


def test_curves_that_are_no_json_where_the_commit_knows_no_sums(tmp_path: Path) -> None:
    """As an older Unscene left it."""
    sample = SampleOutput(tmp_path / "out", scenes=6)
    overwritten(tmp_path / "out/handles/handles-000001.tar")
    commit = tmp_path / "out/_commits/extract/000001.json"
    commit.write_text(json.dumps({**json.loads(commit.read_text()), "crc32": None}))
    page = page_of(sample.storage)
    assert "Cannot be read: handles/handles-000001.tar ." in flat(page.text)
    scenes_saying(page, "Loss curves cannot be read.")


def test_variations_that_cannot_be_read(tmp_path: Path) -> None:
    sample = SampleOutput(tmp_path / "out", scenes=6)
    cut(tmp_path / "out/variations/variations-000001.parquet")
    page = page_of(sample.storage)
    of_it = scenes_saying(page, "Variations cannot be read.")
    assert all("its pictures cannot be read" in scene for scene in of_it)
    assert "No variations yet" not in flat(page.text)
    assert "0 of 0 good" not in flat(page.text)


def test_what_is_whole_or_not_made_yet_is_no_damage(tmp_path: Path) -> None:
    for name, stages in (("whole", {}), ("begun", {"stages": (INGEST, SEGMENT)})):
        page = page_of(SampleOutput(tmp_path / name, **stages).storage)
        assert "annot be read" not in page.text


def test_many_are_counted_and_those_of_another_output_named_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = SampleOutput(tmp_path / "earlier", scenes=6)
    storage = with_given_handles(tmp_path / "more", earlier, variations=1)
    for shard in range(2):
        cut(tmp_path / f"earlier/handles/handles-00000{shard}.parquet")
    monkeypatch.setattr(damage, "MOST", 1)
    text = flat(page_of(storage).text)
    assert f"Cannot be read: {tmp_path}/earlier/handles/handles-000000.parquet , and 1 more." in text
    assert f"( {tmp_path}/earlier/_commits/extract/000000.json , and so on)" in text


@pytest.mark.parametrize("part", ["source", "000001"])
def test_an_account_that_is_cut_off_costs_the_account_not_the_page(tmp_path: Path, part: str) -> None:
    sample = SampleOutput(tmp_path / "out")
    name = f"account-{part}.parquet"
    folder = tmp_path / "out/account"
    if part == "source":
        shutil.copy(folder / "account-000000.parquet", folder / name)
    else:
        forget_tallies(tmp_path / "out")
    cut(folder / name)
    page = page_of(sample.storage)
    text = flat(page.text)
    assert len(page.scenes) == 4
    assert "Cannot be read: a part of the account ." in text
    assert f"The account is left out here: {folder / name} is damaged (ArrowInvalid: " in text
    assert "run the job again, which writes it anew." in text
    assert ("_commits/failures/000001.json" in text) == (part != "source")
    assert "account of" not in text


def test_a_folder_where_the_card_goes_is_left(tmp_path: Path) -> None:
    sample = SampleOutput(tmp_path / "out")
    (tmp_path / "out/README.md").mkdir()
    assert len(page_of(sample.storage).scenes) == 4
    assert foreign_card(sample.storage)
    assert list((tmp_path / "out/README.md").iterdir()) == []


def forget_tallies(output: Path) -> None:
    """Commits of an older Unscene, which do not say what their tables come to."""
    for path in (output / "_commits/failures").glob("*.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "tally": None}))
    for path in (output / "_commits").glob("manifest-*"):
        path.unlink()


def test_the_command_says_that_the_card_was_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = SampleOutput(tmp_path / "out")
    said: list[str] = []
    monkeypatch.setattr(writing, "say", said.append)
    writing.report(sample.storage.url)
    assert len(said) == 1
    (tmp_path / "out/README.md").unlink()
    (tmp_path / "out/README.md").mkdir()
    writing.report(sample.storage.url)
    assert said[2].startswith(f"{tmp_path / 'out/README.md'}: not, or no longer, a card of Unscene's, as the line ")


@pytest.mark.parametrize("left", ["", "---\nconfigs:\n- config_name: vari", "# Mine\n"])
def test_a_card_without_its_line_is_left_and_nobody_is_said_to_have_written_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    sample = SampleOutput(tmp_path / "out")
    said: list[str] = []
    monkeypatch.setattr(writing, "say", said.append)
    (tmp_path / "out/README.md").write_text(left)
    writing.report(sample.storage.url)
    assert "not written by Unscene" not in said[1]
    assert "move it away, and `unscene report` writes one for the tables" in said[1]
    assert (tmp_path / "out/README.md").read_text() == left


def test_a_damaged_manifest_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sample = SampleOutput(tmp_path / "out")
    Committed(sample.storage, list(STAGE_OF.values())).roll_up()
    for manifest in (tmp_path / "out/_commits").glob("manifest-*"):
        cut(manifest)
    page_of(sample.storage)
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [f"{manifest} is damaged"]

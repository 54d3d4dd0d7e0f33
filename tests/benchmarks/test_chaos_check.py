"""What `make chaos` says of an OUTPUT: good where it is as after the calm run, and each harm counted."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.chaos_check import Verdict, verdict
from pipeline.shards.tables import read_rows, write_table
from pipeline.storage.folder import Storage
from tests.support.crash_points import command


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    (folder / "in").mkdir()
    for name in "abc":
        (folder / "in" / f"{name}.jpg").write_text(name)
    command(folder / "in", folder / "calm", retry=False)
    command(folder / "in", folder / "night", retry=False)
    return folder


def rewritten(out: Path, change: Callable[[list[dict[str, object]]], list[dict[str, object]]]) -> None:
    rows = read_rows(Storage(str(out)), "handles", 0)
    with open(out / "handles" / "handles-000000.parquet", "wb") as file:
        write_table(file, "handles", change(rows))


def lose_a_row(out: Path) -> None:
    rewritten(out, lambda rows: rows[1:])


def double_a_row(out: Path) -> None:
    rewritten(out, lambda rows: [*rows, rows[0]])


def change_a_byte(out: Path) -> None:
    tar = next((out / "handles").glob("*.tar"))
    data = bytearray(tar.read_bytes())
    data[600] ^= 1
    tar.write_bytes(data)


def leave(name: str) -> Callable[[Path], None]:
    def left(out: Path) -> None:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).touch()

    return left


def test_the_same_job_twice_is_good(made: Path) -> None:
    found = verdict(Storage(str(made / "night")), Storage(str(made / "calm")))
    assert found.good, found
    assert (found.scenes, found.lost, found.twice) == (3, 0, 0)
    assert found.files >= 8


def told_of(found: Verdict) -> list[str]:
    return [row.partition(" only: ")[0] for row in found.rows]


HARMS: list[tuple[Callable[[Path], None], Callable[[Verdict], bool]]] = [
    (lose_a_row, lambda found: (found.lost, found.twice) == (1, 0) and told_of(found) == ["handles, in the calm run"]),
    (double_a_row, lambda found: (found.lost, found.twice) == (0, 1) and told_of(found) == ["handles, in this run"]),
    (change_a_byte, lambda found: len(found.wrong) == 2),
    *((leave(name), lambda found: len(found.left) == 1) for name in ("_work/a/b.tar", "_attempts/a/b", "_probe-1")),
    (leave("handles/x.tmp"), lambda found: len(found.left) == 1),
    (leave("_lease/000009.json"), lambda found: len(found.left) == 2),
]


@pytest.mark.parametrize(("harm", "told"), HARMS)
def test_each_harm_is_told(
    harm: Callable[[Path], None], told: Callable[[Verdict], bool], made: Path, tmp_path: Path
) -> None:
    shutil.copytree(made / "night", tmp_path / "night")
    harm(tmp_path / "night")
    found = verdict(Storage(str(tmp_path / "night")), Storage(str(made / "calm")))
    assert not found.good
    assert told(found), found

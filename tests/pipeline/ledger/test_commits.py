"""Invariants 2 and 3: a shard exists when its commit exists, and only the first attempt to commit wins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.ledger import commits
from pipeline.ledger.commits import Commit, commit_name, publish, read_commit, rounds
from pipeline.ledger.committed import Committed
from pipeline.ledger.repair import check_files, repair
from pipeline.shards.pack import PackOrder, pack
from pipeline.shards.parts import part_name, write_part
from pipeline.shards.tables import read_rows
from pipeline.shards.tars import owner_of
from pipeline.storage.folder import Storage
from schemas.errors import LeaseLost, OutputError
from schemas.outcomes import Failure, SceneOutput
from schemas.records import TABLES

STAGE, TABLE = "extract", "handles"


def output(scene_id: str, number: float) -> SceneOutput:
    row = {
        "scene_id": scene_id,
        "index": 0,
        "token": "<asset0>",
        "word": "object",
        "embedding": [number],
        "tuning": "lora",
        "steps": [1, 1],
        "file": f"{scene_id}.safetensors",
    }
    return SceneOutput(scene_id, [row], {f"{scene_id}.safetensors": scene_id.encode() * 100, f"{scene_id}.json": b"{}"})


def order(scenes: list[str], round_: int = 0, earlier: int | None = None, every: list[str] | None = None) -> PackOrder:
    return PackOrder(
        STAGE,
        TABLE,
        True,
        0,
        round_,
        tuple(scenes),
        tuple(every or scenes),
        earlier,
        {scene: f"/in/{scene}.jpg" for scene in scenes},
    )


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "out"))


def fill(storage: Storage, numbers: dict[str, float], round_: int = 0) -> None:
    for scene, number in numbers.items():
        write_part(storage, part_name(STAGE, 0, round_, scene), output(scene, number))


def test_a_packed_shard_is_plain_files_and_one_commit(storage: Storage) -> None:
    fill(storage, {"aaaa": 1, "bbbb": 2})
    write_part(storage, part_name(STAGE, 0, 0, "cccc"), SceneOutput("cccc", failure=Failure("cccc", "Bad", "because")))
    record = pack(storage, order(["bbbb", "cccc", "aaaa"]))
    assert record.done == ["bbbb", "aaaa"]
    assert record.failures == [
        {
            "stage": "extract",
            "scene_id": "cccc",
            "uri": "/in/cccc.jpg",
            "error": "Bad",
            "message": "because",
            "traceback": None,
            "attempt": 1,
        }
    ]
    assert [row["scene_id"] for row in read_rows(storage, TABLE, 0)] == ["bbbb", "aaaa"]
    place = record.members["aaaa.safetensors"]
    assert storage.read_range("handles/handles-000000.tar", *place) == b"aaaa" * 100
    assert set(storage.names("handles")) == {"handles-000000.parquet", "handles-000000.tar"}
    assert storage.folders("_attempts/extract") == []
    assert storage.folders("_work/extract") == []


def test_a_zombie_attempt_cannot_replace_what_another_committed(storage: Storage) -> None:
    fill(storage, {"aaaa": 1})
    first = pack(storage, order(["aaaa"]))
    fill(storage, {"aaaa": 2})  # a zombie comes back with another result and packs it
    late = pack(storage, order(["aaaa"]))
    assert late.attempt == first.attempt
    assert read_rows(storage, TABLE, 0)[0]["embedding"] == [1.0]
    assert storage.folders("_attempts/extract") == []


def test_without_a_commit_there_is_no_shard_and_its_files_are_swept(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(storage, {"aaaa": 1})

    def dies(storage: Storage, record: Commit) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("pipeline.shards.pack.commit", dies)
        pack(storage, order(["aaaa"]))
    assert rounds(storage, STAGE) == {}
    assert storage.names("handles") == {}  # plain readers see nothing
    assert len(storage.folders("_attempts/extract")) == 1
    repair(storage, [STAGE])
    assert storage.names("handles") == {}
    assert len(storage.folders("_attempts/extract")) == 1  # nobody knows whether its writer is gone
    assert pack(storage, order(["aaaa"])).done == ["aaaa"]  # the parts are still there
    repair(storage, [STAGE])
    assert storage.folders("_attempts/extract") == []
    assert read_rows(storage, TABLE, 0)[0]["embedding"] == [1.0]


def test_a_living_attempt_outlives_another_drivers_repair_and_commits(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A packer on a machine that nobody hears of has written its files, and comes to its commit late."""
    fill(storage, {"aaaa": 1})
    plain = commits.commit

    def late(storage: Storage, record: Commit) -> bool:
        repair(storage, [STAGE])
        return plain(storage, record)

    monkeypatch.setattr("pipeline.shards.pack.commit", late)
    record = pack(storage, order(["aaaa"]))
    assert read_commit(storage, STAGE, 0, 0).attempt == record.attempt
    repair(storage, [STAGE])
    assert read_rows(storage, TABLE, 0)[0]["embedding"] == [1.0]


def test_a_commit_whose_answer_was_lost_is_ours(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(storage, {"aaaa": 1})
    plain = Storage.create
    monkeypatch.setattr(Storage, "create", lambda self, name, data: plain(self, name, data) and False)
    record = pack(storage, order(["aaaa"]))
    assert read_commit(storage, STAGE, 0, 0).attempt == record.attempt
    repair(storage, [STAGE])
    assert read_rows(storage, TABLE, 0)[0]["embedding"] == [1.0]
    assert storage.folders("_attempts/extract") == []


@pytest.mark.parametrize("parts", ["there", "gone"])
def test_a_packer_that_died_after_its_commit_is_followed_by_one_that_finishes(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, parts: str
) -> None:
    fill(storage, {"aaaa": 1})
    whole = Storage.publish

    def dies(self: Storage, source: str, target: str) -> None:
        whole(self, source, target)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Storage, "publish", dies)
        pack(storage, order(["aaaa"]))
    if parts == "gone":
        storage.delete_folder("_work")
    assert pack(storage, order(["aaaa"])).done == ["aaaa"]
    check_files(Committed(storage, [STAGE]))
    assert storage.folders("_attempts/extract") == []


def test_parts_that_another_packer_took_are_no_failure(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(storage, {"aaaa": 1})
    first: list[Commit] = []
    plain, begun = commits.new_attempt, iter([True])

    def overtaken(round_: int) -> str:
        if next(begun, False):
            first.append(pack(storage, order(["aaaa"])))
        return plain(round_)

    monkeypatch.setattr("pipeline.shards.pack.new_attempt", overtaken)
    assert pack(storage, order(["aaaa"])).attempt == first[0].attempt
    assert storage.folders("_attempts/extract") == []


def test_a_packer_whose_driver_was_overtaken_commits_nothing(storage: Storage) -> None:
    fill(storage, {"aaaa": 1})

    def lost() -> None:
        raise LeaseLost("another run has taken over")

    with pytest.raises(LeaseLost):
        pack(storage, order(["aaaa"]), lost)
    assert rounds(storage, STAGE) == {}
    assert storage.folders("_attempts/extract") == []
    assert len(storage.names("_work/extract/000000.r0")) == 1


def test_what_is_neither_in_the_attempt_nor_published_is_told(storage: Storage) -> None:
    fill(storage, {"aaaa": 1})
    record = pack(storage, order(["aaaa"]))
    publish(storage, record)  # safe to repeat
    storage.delete("handles/handles-000000.tar")
    with pytest.raises(OutputError, match=r"handles-000000.tar is gone; restore it, or delete .*extract/000000.json"):
        publish(storage, record)


def test_an_earlier_round_that_is_published_late_changes_nothing(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its packer slept between the commit and the plain names, while two other runs repaired and made two rounds."""
    every = ["aaaa", "bbbb"]
    fill(storage, {"aaaa": 1})
    write_part(storage, part_name(STAGE, 0, 0, "bbbb"), SceneOutput("bbbb", failure=Failure("bbbb", "Bad", "because")))
    plain, asleep = Storage.publish, iter([True])

    def slow(self: Storage, source: str, target: str) -> None:
        if next(asleep, False):
            repair(storage, [STAGE])
            fill(storage, {"bbbb": 2}, round_=1)
            pack(storage, order(["bbbb"], round_=1, earlier=0, every=every))
        plain(self, source, target)

    monkeypatch.setattr(Storage, "publish", slow)
    pack(storage, order(every))
    assert [row["embedding"] for row in read_rows(storage, TABLE, 0)] == [[1.0], [2.0]]
    repair(storage, [STAGE])
    assert rounds(storage, STAGE) == {0: 1}
    assert storage.folders("_attempts/extract") == []


def test_a_crash_between_commit_and_publishing_is_repaired(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(storage, {"aaaa": 1})

    def dies(storage: Storage, record: Commit) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("pipeline.ledger.commits.publish", dies)
        pack(storage, order(["aaaa"]))
    assert rounds(storage, STAGE) == {0: 0}
    repair(storage, [STAGE])
    assert read_rows(storage, TABLE, 0)[0]["embedding"] == [1.0]
    assert storage.folders("_attempts/extract") == []


def test_a_later_round_takes_over_what_was_done_and_adds_the_rest(storage: Storage) -> None:
    fill(storage, {"aaaa": 1, "dddd": 4})
    write_part(storage, part_name(STAGE, 0, 0, "bbbb"), SceneOutput("bbbb", failure=Failure("bbbb", "Bad", "because")))
    every = ["aaaa", "bbbb", "dddd"]
    first = pack(storage, order(every))
    fill(storage, {"bbbb": 2}, round_=1)
    second = pack(storage, order(["bbbb"], round_=1, earlier=0, every=every))
    assert first.done == ["aaaa", "dddd"]
    assert second.done == every
    assert not second.failures
    assert [row["embedding"] for row in read_rows(storage, TABLE, 0)] == [[1.0], [2.0], [4.0]]
    assert storage.read_range("handles/handles-000000.tar", *second.members["dddd.safetensors"]) == b"dddd" * 100
    assert rounds(storage, STAGE) == {0: 1}
    repair(storage, [STAGE])  # the older round's files are gone, and nobody misses them
    assert read_commit(storage, STAGE, 0, 1).done == every


@pytest.mark.parametrize("harm", ["gone", "short"])
def test_a_damaged_shard_is_named_with_the_remedy(storage: Storage, harm: str) -> None:
    fill(storage, {"aaaa": 1})
    pack(storage, order(["aaaa"]))
    path = Path(storage.path("handles/handles-000000.tar"))
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(b"half")
    with pytest.raises(
        OutputError, match=r"handles-000000.tar (is gone|has 4 bytes).*delete .*_commits/extract/000000.json"
    ):
        repair(storage, [STAGE])
    storage.delete(commit_name(STAGE, 0, 0))
    repair(storage, [STAGE])


def test_rows_that_do_not_fit_the_schema_are_refused(storage: Storage) -> None:
    bad = output("aaaa", 1)
    bad.rows[0]["token"] = None
    write_part(storage, part_name(STAGE, 0, 0, "aaaa"), bad)
    with pytest.raises(ValueError, match="rows of handles lack `token`"):
        pack(storage, order(["aaaa"]))
    assert rounds(storage, STAGE) == {}


def test_members_belong_to_the_scene_that_their_name_begins_with() -> None:
    assert owner_of("00ff-0003.mask.png") == owner_of("00ff.safetensors") == "00ff"


def test_a_shard_of_no_files_has_no_tar_until_a_retry_makes_some(storage: Storage) -> None:
    """`datasets` reads the columns of a WebDataset off its first tar, and stumbles over one of nothing."""
    from datasets import load_dataset

    for number, scene in enumerate(("aaaa", "bbbb")):
        failed = SceneOutput(scene, failure=Failure(scene, "Bad", "because"))
        write_part(storage, part_name(STAGE, number, 0, scene), failed if number == 0 else output(scene, 1))
        pack(storage, replace(order([scene]), shard=number))
    repair(storage, [STAGE])
    assert sorted(storage.names("handles")) == [
        "handles-000000.parquet",
        "handles-000001.parquet",
        "handles-000001.tar",
    ]
    tars, tables = (
        sorted(str(f) for f in Path(storage.path("handles")).glob(f"*.{kind}")) for kind in ("tar", "parquet")
    )
    cache = str(Path(storage.path("")).parent / "cache")
    found = load_dataset("webdataset", data_files=tars, split="train", cache_dir=cache)
    assert found["__key__"] == ["bbbb"]
    assert load_dataset("parquet", data_files=tables, split="train", cache_dir=cache)["scene_id"] == ["bbbb"]
    fill(storage, {"aaaa": 2}, round_=1)
    again = pack(storage, order(["aaaa"], round_=1, earlier=0, every=["aaaa"]))
    assert storage.read_range("handles/handles-000000.tar", *again.members["aaaa.safetensors"]) == b"aaaa" * 100


def test_an_empty_shard_has_the_same_columns_and_no_row_group(storage: Storage) -> None:
    import pyarrow.parquet as pq

    write_part(storage, part_name(STAGE, 0, 0, "aaaa"), SceneOutput("aaaa", failure=Failure("aaaa", "Bad", "because")))
    pack(storage, order(["aaaa"]))
    assert list(storage.names("handles")) == ["handles-000000.parquet"]
    file = pq.ParquetFile(storage.path("handles/handles-000000.parquet"))
    assert file.schema_arrow.names == TABLES["handles"].names
    assert file.metadata.num_row_groups == 0  # `datasets` stumbles over a group of no rows
    assert file.schema_arrow.field("token").metadata[b"description"].startswith(b"The handle")

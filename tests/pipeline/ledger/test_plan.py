"""Invariant 1: a scene is its bytes; shards are cut from the plan that is written first and never renumbered."""

from __future__ import annotations

import hashlib
import io
import threading
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.ledger.plan import Plan, extend_plan, planned_sizes, read_plan, revise_plan
from pipeline.storage.folder import Storage
from schemas.errors import OutputError
from schemas.job import Source
from stages.ingest.census import Picked, Read
from stages.ingest.source.hashing import hash_file

SOURCE = Source(uri="/anywhere")


def extend(storage: Storage, folder: Path, per_shard: int = 2) -> Plan:
    pictures = [Picked(str(file)) for file in sorted(folder.iterdir())]
    return extend_plan(storage, pictures, per_shard, read)


def read(picked: Picked) -> Read:
    return Read(picked, hash_file(picked.uri, SOURCE, 1000), None, None)


def layout(plan: Plan) -> dict[str, tuple[int, str]]:
    return {
        Path(row["uri"]).name: (row["shard"], row["scene_id"])
        for shard in range(plan.shards)
        for row in plan.rows(shard)
    }


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in "abcde":
        (folder / name).write_text(f"bytes of {name}")
    return folder


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "out"))


def test_a_scene_is_its_bytes_wherever_they_lie(storage: Storage, bucket: Path, tmp_path: Path) -> None:
    plan = extend(storage, bucket)
    assert layout(plan)["c"][1] == hashlib.sha256(b"bytes of c").hexdigest()[:16]
    moved = tmp_path / "moved"
    bucket.rename(moved)
    assert {name: scene for name, (_, scene) in layout(extend(Storage(str(tmp_path / "other")), moved)).items()} == {
        name: scene for name, (_, scene) in layout(plan).items()
    }


def test_new_pictures_extend_the_plan_and_renumber_nothing(storage: Storage, bucket: Path) -> None:
    before = layout(extend(storage, bucket))
    for name in ("0-first-in-order", "z"):
        (bucket / name).write_text(f"bytes of {name}")
    (bucket / "a").unlink()
    plan = extend(storage, bucket)
    after = layout(plan)
    assert {name: after[name] for name in before} == before
    assert {name: shard for name, (shard, _) in after.items() if name not in before} == {"0-first-in-order": 3, "z": 3}
    assert plan.shards == 4
    assert layout(extend(storage, bucket)) == after
    assert len(storage.names("_plan")) == 2  # the third run found nothing new


def test_the_order_of_the_listing_does_not_matter(tmp_path: Path, bucket: Path) -> None:
    uris = [str(file) for file in bucket.iterdir()]
    plans = [
        extend_plan(Storage(str(tmp_path / f"out{number}")), map(Picked, order), 2, read)
        for number, order in enumerate([sorted(uris), sorted(uris, reverse=True)])
    ]
    assert layout(plans[0]) == layout(plans[1])


def test_the_same_bytes_twice_are_one_scene(storage: Storage, bucket: Path) -> None:
    (bucket / "aa-copy").write_text("bytes of a")
    plan = extend(storage, bucket)
    assert plan.scene_count() == 5
    assert len(plan) == 6
    rows = {Path(row["uri"]).name: row for shard in range(plan.shards) for row in plan.rows(shard)}
    assert rows["aa-copy"]["duplicate_of"] == str(bucket / "a")
    every = [scene for shard in range(plan.shards) for scene in plan.scenes(shard)]
    assert every.count(rows["a"]["scene_id"]) == 1
    (bucket / "later-copy").write_text("bytes of b")
    assert extend(storage, bucket).scene_count() == 5


def test_shards_hold_so_many_scenes(storage: Storage, bucket: Path) -> None:
    plan = extend(storage, bucket)
    assert [len(plan.scenes(shard)) for shard in range(plan.shards)] == [2, 2, 1]


def test_of_two_drivers_planning_at_once_one_plan_counts(storage: Storage, bucket: Path) -> None:
    other: list[Plan] = []

    first = threading.Lock()

    def slow(picked: Picked) -> Read:
        if first.acquire(blocking=False):
            other.append(extend(storage, bucket, per_shard=5))  # another driver is through before us
        return read(picked)

    ours = extend_plan(storage, [Picked(str(file)) for file in bucket.iterdir()], 2, slow)
    assert layout(ours) == layout(other[0]) == layout(read_plan(storage))
    assert ours.shards == 1


def test_a_file_that_cannot_be_read_is_planned_with_its_reason(tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.write_bytes(b"x" * 1001)
    assert "more than ingest.max_bytes (1000)" in (hash_file(str(big), SOURCE, 1000).error or "")
    gone = hash_file(str(tmp_path / "gone"), SOURCE, 1000)
    assert gone.sha256 is None
    assert "FileNotFoundError" in (gone.error or "")


def test_of_files_with_the_same_bytes_the_one_with_masks_is_the_scene(storage: Storage, bucket: Path) -> None:
    (bucket / "z-copy").write_text("bytes of a")
    pictures = [Picked(str(file)) for file in bucket.iterdir() if file.name != "z-copy"]
    copy = Picked(str(bucket / "z-copy"), masks=("1",), entry="7", masks_sha256="of its annotations")

    def content(picked: Picked) -> Read:
        return Read(picked, hash_file(picked.uri, SOURCE, 1000), picked.masks_sha256, None)

    plan = extend_plan(storage, [*pictures, copy], 2, content)
    rows = {Path(row["uri"]).name: row for row in plan.all_rows()}
    assert rows["z-copy"]["duplicate_of"] is None
    assert rows["a"]["duplicate_of"] == str(bucket / "z-copy")
    assert (rows["z-copy"]["masks"], rows["z-copy"]["masks_sha256"]) == (["1"], "of its annotations")
    assert [len(plan.scenes(shard)) for shard in range(plan.shards)] == [2, 2, 1]
    assert rows["z-copy"]["shard"] == 0, "it takes the place that its bytes had in the order"


def test_a_row_written_anew_stands_in_its_old_place(storage: Storage, bucket: Path) -> None:
    plan = extend(storage, bucket)
    row = next(row for row in plan.all_rows() if row["uri"].endswith("/c"))
    revised = revise_plan(storage, [{**row, "scene_id": "f" * 16, "sha256": "f" * 64}])
    assert len(revised) == len(plan)
    assert layout(revised) == {**layout(plan), "c": (row["shard"], "f" * 16)}
    assert revised.rows(row["shard"])[row["position"] % 2]["sha256"] == "f" * 64


def test_a_plan_that_is_gone_from_under_results_is_told(storage: Storage, bucket: Path) -> None:
    """A run planned anew, called every scene committed, and the new ones waited for ever."""
    extend(storage, bucket)
    storage.write("_commits/ingest/000000.json", b"{}")
    storage.delete("_plan/000000.parquet")
    for look in (lambda: read_plan(storage), lambda: extend(storage, bucket)):
        with pytest.raises(OutputError, match=r"its plan \(_plan/\) is gone, and results of it are there; restore it"):
            look()


def test_a_plan_of_fewer_columns_is_read(storage: Storage, bucket: Path) -> None:
    extend(storage, bucket)
    older = pq.read_table(io.BytesIO(storage.read("_plan/000000.parquet")))
    buffer = io.BytesIO()
    pq.write_table(older.drop_columns(["stamp", "masks", "entry", "bytes"]), buffer)
    storage.write("_plan/000000.parquet", buffer.getvalue())
    assert {row["masks"] for row in read_plan(storage).all_rows()} == {None}
    assert planned_sizes(storage).to_pylist() == [None] * 5


def test_sizes_are_those_of_the_rows_that_count(storage: Storage, bucket: Path) -> None:
    (bucket / "b").write_text("bytes of b, which is longer")
    plan = extend(storage, bucket)
    row = next(row for row in plan.all_rows() if row["uri"].endswith("/c"))
    revise_plan(storage, [{**row, "bytes": 1_000_000}])
    assert planned_sizes(storage).to_pylist() == [10, 27, 1_000_000, 10, 10]
    assert planned_sizes(Storage(f"{storage.url}/nothing")).to_pylist() == []

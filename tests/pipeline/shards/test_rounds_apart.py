"""Files of one round are never read by the commit of another: between any two steps of a retry a reader gets the bytes
of the round that it holds, or is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.ledger.commits import read_commit
from pipeline.shards.inputs import Inputs
from pipeline.shards.pack import PackOrder, pack
from pipeline.shards.parts import part_name, write_part
from pipeline.shards.reader import NotAsCommitted, OutputReader, by_scene
from pipeline.shards.unit import Unit
from pipeline.storage.folder import Storage
from schemas.outcomes import Failure, SceneOutput

ALL = ("aaaa", "bbbb", "cccc")


def output(scene: str, mark: bytes) -> SceneOutput:
    row = {
        "scene_id": scene, "index": 0, "token": "<asset0>", "word": mark.decode(), "embedding": [1.0],
        "tuning": "lora", "steps": [1, 1], "file": f"{scene}.safetensors",
    }  # fmt: skip
    return SceneOutput(scene, [row], {f"{scene}.safetensors": scene.encode() * 300 + mark})


def part(storage: Storage, round_: int, found: SceneOutput) -> None:
    write_part(storage, part_name("extract", 0, round_, found.scene_id), found)


def retry(storage: Storage, *scenes: str) -> None:
    pack(storage, PackOrder("extract", "handles", True, 0, 1, scenes, ALL, earlier=0))


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """Round 0, in which the first scene failed, so that in round 1 every member lies elsewhere."""
    storage = Storage(str(tmp_path / "out"))
    part(storage, 0, SceneOutput("aaaa", failure=Failure("aaaa", "Bad", "because")))
    for scene in ALL[1:]:
        part(storage, 0, output(scene, b"0"))
    pack(storage, PackOrder("extract", "handles", True, 0, 0, ALL, ALL))
    part(storage, 1, output("aaaa", b"1"))
    return storage


class Watch:
    """Reads through a reader of before, and a new one, at each step of publishing; notes what each got."""

    def __init__(self, storage: Storage) -> None:
        self.storage, self.earlier = storage, OutputReader(storage)
        self.before = read_commit(storage, "extract", 0, 0)
        self.told = self.looks = 0

    def look(self) -> None:
        self.looks += 1
        for reader, commit in ((self.earlier, self.before), (OutputReader(self.storage), None)):
            commit = commit or reader.commit("handles", 0)
            assert commit is not None
            for scene, members in by_scene(commit, set(commit.done)).items():
                try:
                    (data,) = reader.files("handles", commit, members).values()
                    rows = reader.rows("handles", 0, round_=commit.round)
                except NotAsCommitted:
                    assert commit.round == 0, "what was committed last can be read at any time"
                    self.told += 1
                    continue
                assert data[:1200] == scene.encode() * 300
                assert set(rows) == set(commit.done)
                assert all(row["word"].encode() == data[1200:] for row in rows[scene])


def test_a_reader_between_any_two_steps_of_a_retry(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch(storage)

    def watched(name: str) -> None:
        plain = getattr(Storage, name)

        def step(self: Storage, *args: object) -> object:
            watch.look()
            done = plain(self, *args)
            watch.look()
            return done

        monkeypatch.setattr(Storage, name, step)

    for name in ("create", "publish", "delete_folder", "delete"):
        watched(name)
    retry(storage, "aaaa")
    assert watch.looks >= 10
    assert watch.told, "a reader of the earlier round is told once its files are gone"


def test_a_scene_that_was_made_anew_in_as_many_bytes(storage: Storage) -> None:
    """Sizes and places are the same: only the bytes tell."""
    first = read_commit(storage, "extract", 0, 0)
    part(storage, 1, SceneOutput("aaaa", failure=Failure("aaaa", "Bad", "because")))
    part(storage, 1, output("bbbb", b"1"))
    retry(storage, "aaaa", "bbbb")
    assert read_commit(storage, "extract", 0, 1).members == first.members
    reader = OutputReader(storage)
    with pytest.raises(NotAsCommitted, match=r"handles-000000.tar is not what was committed as round 0: a later round"):
        reader.member("handles", first, "bbbb.safetensors")
    assert reader.member("handles", first, "cccc.safetensors").endswith(b"c0"), "which is the same in both"
    with pytest.raises(NotAsCommitted, match=r"handles-000000.parquet is not what was committed as round 0"):
        reader.rows("handles", 0, round_=0)


def test_a_worker_reads_the_round_that_its_unit_names(storage: Storage) -> None:
    retry(storage, "aaaa")
    unit = Unit("generate", 0, 1, ("bbbb",), {}, {"handles": 1})
    (task,) = Inputs(storage).tasks(unit, ("handles",), ("handles",))
    assert task.files["safetensors"] == b"bbbb" * 300 + b"0"
    stale = Unit("generate", 0, 0, ("bbbb",), {}, {"handles": 0})
    with pytest.raises(NotAsCommitted):
        Inputs(storage).tasks(stale, ("handles",), ("handles",))


def test_what_is_taken_over_from_a_commit_without_sums_has_some_and_is_read(storage: Storage) -> None:
    """An older Unscene committed none; 0 was taken for the sum of each, and every scene of the shard was damaged."""
    name = "_commits/extract/000000.json"
    storage.write(name, json.dumps(json.loads(storage.read(name)) | {"crc32": None}).encode())
    retry(storage, "aaaa")
    reader = OutputReader(storage)
    commit = read_commit(storage, "extract", 0, 1)
    for scene, mark in {"aaaa": b"1", "bbbb": b"0", "cccc": b"0"}.items():
        assert reader.member("handles", commit, f"{scene}.safetensors") == scene.encode() * 300 + mark
    assert 0 not in commit.sums.values()

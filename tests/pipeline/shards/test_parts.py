"""Parts: what a unit leaves, what goes before it, and that a shard's tar is made of them."""

from __future__ import annotations

import io
import pickle
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

import pipeline.shards.parts as parts_module
from pipeline.ledger.commits import Commit
from pipeline.shards.pack import PackOrder, pack
from pipeline.shards.parts import Part, PartsWriter, find_parts, part_name, work_folder, write_part
from pipeline.shards.reader import OutputReader
from pipeline.shards.tars import add_member, closing, member
from pipeline.shards.whole import PartDamaged, as_committed
from pipeline.storage.folder import Storage
from pipeline.storage.pieces import blocks
from schemas.outcomes import Failure, SceneOutput

FOLDER = work_folder("extract", 0, 0)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path))


def output(scene: str, size: int = 700) -> SceneOutput:
    files = {f"{scene}.safetensors": scene[:1].encode() * size, f"{scene}-0001.png": b"", f"{scene}.txt": b"x" * 512}
    row = {"scene_id": scene, "index": 0, "token": "<asset0>", "embedding": [0.5], "tuning": "lora", "steps": [1, 1]}
    return SceneOutput(scene, [row | {"word": "thing", "file": f"{scene}.safetensors"}], files)


def read_part(storage: Storage, part: Part) -> SceneOutput:
    """What a part holds, by tarfile: its members are those of a tar that lacks its end."""
    data = b"".join(blocks(part.pieces(), storage.read_range)) + closing(part.size)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        files = {info.name: tar.extractfile(info).read() for info in tar}
    assert part.files == tuple((name, len(data), zlib.crc32(data)) for name, data in files.items())
    return SceneOutput(part.scene_id, part.rows, files, part.failure)


def leave(storage: Storage, *outputs: SceneOutput) -> None:
    writer = PartsWriter(storage, FOLDER)
    for one in outputs:
        writer.add(one)
    writer.close()


def test_a_unit_s_scenes_lie_in_one_file_and_come_back(storage: Storage) -> None:
    broken = SceneOutput("cc", failure=Failure("cc", "Bad", "because \udcff"))
    leave(storage, output("aa"), broken, output("bb", 0))
    assert len(storage.names(FOLDER)) == 1
    found = find_parts(storage, FOLDER)
    assert list(found) == ["aa", "cc", "bb"]
    assert read_part(storage, found["aa"]) == output("aa")
    assert read_part(storage, found["bb"]) == output("bb", 0)
    assert found["cc"].failure == broken.failure
    assert read_part(storage, found["cc"]) == broken


def test_a_large_unit_is_left_in_several_files(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts_module, "_WHOLE", 4_000)
    leave(storage, *map(output, ("aa", "bb", "cc", "dd")))
    assert len(storage.names(FOLDER)) == 2
    assert {scene: read_part(storage, part) for scene, part in find_parts(storage, FOLDER).items()} == {
        scene: output(scene) for scene in ("aa", "bb", "cc", "dd")
    }


def test_what_the_driver_found_goes_before_what_the_unit_left(storage: Storage) -> None:
    """A unit wrote a scene and died; alone the scene killed its process until it was given up."""
    leave(storage, output("aa"), output("bb"))
    write_part(storage, part_name("extract", 0, 0, "bb"), SceneOutput("bb", failure=Failure("bb", "ProcessDied", "it")))
    found = find_parts(storage, FOLDER)
    assert found["aa"].failure is None
    assert found["bb"].failure is not None
    storage.delete(part_name("extract", 0, 0, "bb"))
    assert find_parts(storage, FOLDER)["bb"].failure is None


def test_of_two_attempts_at_a_unit_the_one_that_came_to_something_counts(storage: Storage) -> None:
    failure = SceneOutput("bb", failure=Failure("bb", "Bad", "because"))
    for number in range(8):  # names are drawn by lot
        folder = work_folder("extract", number, 0)
        for outputs in ((output("aa"), failure), (output("aa"), output("bb"))):
            writer = PartsWriter(storage, folder)
            for one in outputs:
                writer.add(one)
            writer.close()
        assert find_parts(storage, folder)["bb"].failure is None


def test_a_worker_looks_at_its_own_unit_s_files_alone(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(storage, output("aa"), output("bb"))
    leave(storage, output("cc"), output("dd"))
    read: list[str] = []
    ranged = Storage.read_range
    monkeypatch.setattr(Storage, "read_range", lambda at, name, *rest: (read.append(name), ranged(at, name, *rest))[1])
    assert list(find_parts(storage, FOLDER, ("cc", "dd"))) == ["cc", "dd"]
    assert len(read) == 1, "of a file whose name tells how long its head is"


def test_a_long_head_is_read_whole(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts_module, "_GUESS", 600)
    write_part(storage, part_name("extract", 0, 0, "aa"), output("aa"))
    assert read_part(storage, find_parts(storage, FOLDER)["aa"]) == output("aa")


def test_a_part_of_an_older_unscene_is_no_part(storage: Storage) -> None:
    """Its unit is done again, and what that leaves counts."""
    storage.write(part_name("extract", 0, 0, "aa"), member("outcome.json", b"{}") + closing(1024))
    assert find_parts(storage, FOLDER) == {}
    leave(storage, output("aa"))
    assert list(find_parts(storage, FOLDER)) == ["aa"]


@pytest.mark.parametrize(
    "harm",
    [
        lambda data: b"",
        lambda data: data[:100],
        lambda data: data[:700],
        lambda data: data[:-20_000],
        lambda data: data[:600] + bytes([data[600] ^ 1]) + data[601:],
        lambda data: b"\0" * len(data),
    ],
)
def test_a_file_that_is_damaged_is_told_of_and_holds_nothing(
    storage: Storage, caplog: pytest.LogCaptureFixture, harm: Callable[[bytes], bytes]
) -> None:
    """After a power cut a file of no bytes failed a sound scene three times, and ended each run in a traceback."""
    leave(storage, output("aa", 5_000), output("bb", 30_000))
    leave(storage, output("cc"))
    name = next(f"{FOLDER}/{name}" for name in storage.names(FOLDER) if name.startswith("aa"))
    storage.write(name, harm(storage.read(name)))
    assert list(find_parts(storage, FOLDER)) == ["cc"]
    (line,) = (record.getMessage() for record in caplog.records)
    assert f"{name} is damaged (" in line
    assert "made anew" in line


@pytest.mark.parametrize("place", ["header", "content", "filling"])
def test_one_wrong_bit_of_a_part_is_not_committed(storage: Storage, place: str) -> None:
    """It was: the tar's hash was taken after it, the scene was done, and nothing could be restored."""
    leave(storage, output("aa", 5_000), output("bb"))
    leave(storage, output("cc"))
    name = next(f"{FOLDER}/{name}" for name in storage.names(FOLDER) if name.startswith("aa"))
    data = storage.read(name)
    first = data.index(b"aa.safetensors\0")
    at = first + {"header": 3, "content": 512 + 4_000, "filling": 512 + 5_003}[place]
    storage.write(name, data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
    with pytest.raises(PartDamaged) as damaged:
        packed(storage, "aa", "bb", "cc")
    assert pickle.loads(pickle.dumps(damaged.value)).filename == name
    assert storage.names("handles") == storage.names("_commits/extract") == {}
    assert list(find_parts(storage, FOLDER)) == ["cc"], "its unit is made anew"
    leave(storage, output("aa", 5_000), output("bb"))
    assert packed(storage, "aa", "bb", "cc").done == ["aa", "bb", "cc"]


def packed(storage: Storage, *scenes: str) -> Commit:
    return pack(storage, PackOrder("extract", "handles", True, 0, 0, scenes, scenes))


def test_a_shard_s_tar_is_what_tarfile_writes_of_its_scenes_in_plan_order(storage: Storage) -> None:
    leave(storage, output("cc"), output("aa", 10_000))
    leave(storage, SceneOutput("bb", failure=Failure("bb", "Bad", "because")), output("dd", 3))
    record = packed(storage, "aa", "bb", "cc", "dd")
    expected = io.BytesIO()
    with tarfile.open(fileobj=expected, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for scene, size in {"aa": 10_000, "cc": 700, "dd": 3}.items():
            for name, data in output(scene, size).files.items():
                add_member(tar, name, data)
    assert storage.read("handles/handles-000000.tar") == expected.getvalue()
    assert record.done == ["aa", "cc", "dd"]
    reader = OutputReader(storage)
    for scene, size in {"aa": 10_000, "cc": 700, "dd": 3}.items():
        for name, data in output(scene, size).files.items():
            assert reader.member("handles", record, name) == data


@pytest.mark.parametrize("sizes", [[], [0], [1], [511, 512, 513], [10_240 - 1024], [10_240 - 1536], [9_000, 300]])
def test_a_tar_closes_as_tarfile_closes_it(sizes: list[int]) -> None:
    expected, members = io.BytesIO(), b""
    with tarfile.open(fileobj=expected, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for number, size in enumerate(sizes):
            add_member(tar, f"{number}.bin", b"x" * size)
            members += member(f"{number}.bin", b"x" * size)
    assert members + closing(len(members)) == expected.getvalue()


def test_a_scene_without_a_part_is_told(storage: Storage) -> None:
    leave(storage, output("aa"))
    with pytest.raises(FileNotFoundError, match="has no part of bb"):
        packed(storage, "aa", "bb")
    assert storage.names("handles") == {}


@pytest.mark.parametrize("hashed", [True, False])
def test_a_file_is_as_committed_or_not(storage: Storage, hashed: bool) -> None:
    leave(storage, output("aa", 2_000), output("bb"))
    record = packed(storage, "aa", "bb")
    file = record.files[1]
    assert file.sha256 is not None
    if not hashed:
        object.__setattr__(file, "sha256", None)
    assert as_committed(storage, record, file)
    good = storage.read(file.path)
    at = record.members["bb.safetensors"][0] + 5
    storage.write(file.path, good[:at] + b"?" + good[at + 1 :])
    assert not as_committed(storage, record, file)
    storage.write(file.path, good[:-512])
    assert not as_committed(storage, record, file)
    storage.write("elsewhere/copy.tar", good)
    assert as_committed(storage, record, file, "elsewhere/copy.tar")

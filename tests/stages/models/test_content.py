"""The hash of a model sees every byte, reads a file once, and needs no cache for it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from schemas.errors import SpecError
from stages.models import content
from stages.models.content import content_hash, is_partial
from stages.models.place import ModelField, locate, model_revision

FIELDS: list[ModelField] = ["models.base", "models.sam", "models.clip", "models.identity"]
MIB = 1 << 20


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The store, in a folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "unscene" / "hashes.json"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with weights of 3 MiB, an hour old."""
    folder = tmp_path / "model"
    (folder / "unet").mkdir(parents=True)
    (folder / "model_index.json").write_text("{}")
    (folder / "unet" / "weights.safetensors").write_bytes(bytes(3 * MIB))
    for file in folder.rglob("*"):
        aged(file)
    return folder


def aged(file: Path, seconds: float = 3600) -> None:
    os.utime(file, (time.time() - seconds,) * 2)


def change(file: Path, at: int) -> None:
    """One byte, in place; the size and the time of change stay."""
    before = file.stat()
    with file.open("r+b") as stream:
        stream.seek(at)
        stream.write(b"!")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are read whole; and no file counts as just changed, as all of a test's files are."""
    found: list[str] = []
    read = content._hash
    monkeypatch.setattr(content, "_hash", lambda file: found.append(file.name) or read(file))
    monkeypatch.setattr(content, "JUST_NOW_S", -1.0)
    return found


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("at", [0, MIB + 5, 3 * MIB // 2, 2 * MIB - 1, 3 * MIB - 1])
def test_one_byte_anywhere_is_another_model(model: Path, field: ModelField, at: int) -> None:
    before = model_revision(str(model), field)
    assert before == model_revision(str(model), field)
    change(model / "unet" / "weights.safetensors", at)
    assert model_revision(str(model), field) != before


@pytest.mark.usefixtures("reads")
def test_a_byte_changed_behind_the_cache_s_back_is_seen(model: Path, cache: Path) -> None:
    before = content_hash(model)
    assert cache.exists()
    change(model / "unet" / "weights.safetensors", MIB + 5)
    assert content_hash(model) != before


def test_a_single_file_is_read_whole_also_by_its_file_url(tmp_path: Path) -> None:
    sam = tmp_path / "sam vit b.pth"
    sam.write_bytes(bytes(3 * MIB))
    before = model_revision(str(sam), "models.sam")
    assert model_revision(sam.as_uri(), "models.sam") == before
    assert locate(sam.as_uri(), "models.sam") == str(sam)
    change(sam, MIB + 5)
    assert model_revision(str(sam), "models.sam") == model_revision(sam.as_uri(), "models.sam") != before


def test_parts_that_are_links_are_seen_and_loops_are_not_followed(model: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    linked.mkdir()
    for part in model.iterdir():
        (linked / part.name).symlink_to(part)
    before = content_hash(linked)
    assert before == content_hash(model), "the same files, wherever they lie"
    (linked / "unet" / "again").symlink_to(linked / "unet")
    (linked / "nowhere").symlink_to(tmp_path / "absent")
    (linked / "itself").symlink_to(linked / "itself")
    assert content_hash(linked) == before
    change(model / "unet" / "weights.safetensors", MIB + 5)
    assert content_hash(linked) != before


def test_names_are_content_and_hidden_files_are_not(model: Path) -> None:
    before = content_hash(model)
    (model / ".git").mkdir()
    (model / ".git" / "HEAD").write_text("x")
    assert content_hash(model) == before
    (model / "unet").rename(model / "unet_ema")
    assert content_hash(model) != before


def test_a_file_is_read_once(model: Path, reads: list[str]) -> None:
    before = content_hash(model)
    assert len(reads) == 2
    assert content_hash(model) == before
    assert len(reads) == 2
    change(model / "unet" / "weights.safetensors", 7)
    assert content_hash(model) != before
    assert reads[2:] == ["weights.safetensors"]


def test_a_file_that_has_just_changed_is_not_remembered(model: Path, cache: Path) -> None:
    content_hash(model)  # the inodes are of this moment
    assert not cache.exists()


@pytest.mark.parametrize("broken", ["", "[1]", '{"/a": 5}', '{"/a": [["x"], "y"]}', "\0", "null"])
def test_a_broken_cache_is_no_failure(model: Path, cache: Path, reads: list[str], broken: str) -> None:
    before = content_hash(model)
    cache.write_text(broken)
    assert content_hash(model) == before
    assert len(reads) == 4
    assert len(json.loads(cache.read_text())) == 2


def test_no_place_for_a_cache_is_no_failure(
    model: Path, reads: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    found = set()
    for variable, value in (("XDG_CACHE_HOME", str(tmp_path / "file")), ("XDG_CACHE_HOME", "relative")):
        monkeypatch.setenv("HOME", str(tmp_path / "file"))
        monkeypatch.setenv(variable, value)
        found.add(content_hash(model))
    assert len(found) == 1
    assert len(reads) == 4
    assert not (tmp_path / "relative").exists()


def test_a_file_that_cannot_be_read_is_one_sentence(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: Path) -> str:
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr(content, "_hash", refuse)
    with pytest.raises(SpecError, match=r"^models\.clip: cannot read .*model_index\.json .*make all files .* readable"):
        model_revision(str(model), "models.clip")


def test_what_the_first_version_recorded_is_told_from_this(model: Path) -> None:
    assert is_partial("sha256:" + "0" * 32)
    for other in (content_hash(model), "owner/model@" + "0" * 40, "https://a.example/sam.pth", None, 4):
        assert not is_partial(other)

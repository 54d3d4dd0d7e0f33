"""`unscene dataset`: what is in, what is left out and why, and the same command again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.dataset.choices import Choices, Format, Scenes
from pipeline.dataset.making import make_dataset
from pipeline.dataset.source import DatasetSource
from pipeline.ledger.withdrawals import FOLDER, withdraw
from pipeline.stage_kinds import EXTRACT, GENERATE, INGEST, SEGMENT
from pipeline.watching.snapshot import announce
from schemas.errors import CommandError
from stages.masks.shapes import bounding_box
from tests.support.labelled_output import LabelledOutput, as_asked, copies
from tests.support.made_coco import coco, keys, made
from tests.support.sample_output import half_masks


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> LabelledOutput:
    """Nine scenes with four pictures each, one of which is a copy; one fails in extract, and has none."""
    return LabelledOutput(tmp_path_factory.mktemp("made") / "out", scenes=9)


def test_what_is_in_reads_back_as_it_was_made(output: LabelledOutput, tmp_path: Path) -> None:
    lines = made(output, tmp_path / "set", validation=0.0)
    found = coco(tmp_path / "set")
    assert [(row["id"], row["name"]) for row in found.cats.values()] == [(1, "cat"), (2, "dog")]
    assert len(found.imgs) == 9 + 8 * 3
    for image in found.imgs.values():
        assert (tmp_path / "set" / "train" / image["file_name"]).is_file()
        things = found.imgToAnns[image["id"]]
        asked = [0] if re.search(r"-000[01]$", image["key"]) else [0, 1]
        assert [thing["category_id"] for thing in things] == [index + 1 for index in asked]
        for index, thing in zip(asked, things, strict=True):
            mask = half_masks()[index]
            assert (found.annToMask(thing) == mask).all()
            assert thing["area"] == mask.sum()
            assert tuple(thing["bbox"]) == bounding_box(mask)
            assert thing["iscrowd"] == 0
    ids = [thing["id"] for thing in found.anns.values()]
    assert ids == list(range(1, len(ids) + 1))
    assert "train: 33 pictures (9 real, 24 new) of 9 scenes, 50 objects: cat 33, dog 17" in lines
    assert "left out: 8 of 41 pictures (8 not kept: near-duplicates)" in lines


def test_a_scene_is_on_one_side_and_stays_there_when_the_job_grows(tmp_path: Path) -> None:
    sides: list[dict[str, str]] = []
    for scenes in (8, 16):
        output = LabelledOutput(tmp_path / f"out{scenes}", scenes=scenes, variations=1)
        into = tmp_path / f"set{scenes}"
        made(output, into, validation=0.4)
        listed = {split: {key.split("-")[0] for key in keys(into, split)} for split in ("train", "valid")}
        assert not listed["train"] & listed["valid"]
        assert all(listed.values())
        sides.append({scene: split for split, scenes in listed.items() for scene in scenes})
    assert sides[0].items() <= sides[1].items()


def test_a_picture_that_lacks_what_it_was_to_show_is_left_out_and_counted(tmp_path: Path) -> None:
    def found(scene: int, number: int, asked: Sequence[int]) -> list[int]:
        return {0: [0, 1], 2: [1, 2]}.get(number, as_asked(scene, number, asked))

    output = LabelledOutput(tmp_path / "out", scenes=2, found=found, earlier=True)
    lines = made(output, tmp_path / "set", validation=0.0, scenes=Scenes.NONE)
    assert lines[-2].startswith("left out: 3 of 4 pictures (")
    for reason in ("a concept asked for has no mask", "not kept: near-duplicates"):
        assert f"1 {reason}" in lines[-2]
    assert "1 several of one concept that cannot be told apart" in lines[-2]
    assert any(
        line.startswith("1 picture with several of one concept: an older Unscene scored them")
        and f"--set source.handles={output.storage.url} " in line
        for line in lines
    )
    (key,) = keys(tmp_path / "set")
    assert key.endswith("-0001")


@pytest.mark.parametrize("placed", [False, True])
def test_every_copy_of_a_concept_is_a_thing_and_what_may_be_in_pieces_is_left_out(placed: bool, tmp_path: Path) -> None:
    def found(scene: int, number: int, asked: Sequence[int]) -> list[int]:
        return {0: [2, 0], 1: [3, 0], 2: [2, 1]}.get(number, as_asked(scene, number, asked))

    output = LabelledOutput(tmp_path / "out", scenes=2, found=found, placed=placed)
    lines = made(output, tmp_path / "set", validation=0.0, scenes=Scenes.NONE)
    assert "1 several masks of one concept that may be pieces of one thing" in lines[-2]
    assert not any("older Unscene" in line for line in lines)
    read = coco(tmp_path / "set")
    for image in read.imgs.values():
        things = read.imgToAnns[image["id"]]
        copied = copies({"0000": [2, 0], "0002": [2, 1]}[image["key"][-4:]])
        assert [thing["category_id"] for thing in things] == [1, 1, 2][: len(copied)]
        for thing, mask in zip(things, copied, strict=True):
            assert (read.annToMask(thing).astype(bool) == mask).all()
    assert len(read.imgs) == 2


def test_a_concept_that_was_drawn_beside_itself_is_told_apart_by_the_region(tmp_path: Path) -> None:
    """In an output of an Unscene that gave masks no ids."""

    def found(scene: int, number: int, asked: Sequence[int]) -> list[int]:
        return {0: [2, 0], 1: [3, 0]}.get(number, as_asked(scene, number, asked))

    output = LabelledOutput(tmp_path / "out", scenes=2, found=found, placed=True, earlier=True)
    lines = made(output, tmp_path / "set", validation=0.0, scenes=Scenes.NONE)
    assert "1 several of one concept that cannot be told apart" in lines[-2]
    two = coco(tmp_path / "set")
    things = [thing for thing in two.anns.values() if two.imgs[thing["image_id"]]["key"].endswith("-0000")]
    assert [thing["category_id"] for thing in things] == [1, 1]
    lower, upper = (two.annToMask(thing).astype(bool) for thing in things)
    whole = half_masks()[0]
    assert (upper[:14] == whole[:14]).all()
    assert (lower[18:] == whole[18:]).all()
    assert not upper[14:].any()
    assert not lower[:18].any()


def test_the_same_command_writes_nothing_again_and_mends_what_is_gone(output: LabelledOutput, tmp_path: Path) -> None:
    into = tmp_path / "set"
    first = made(output, into, part_bytes=1)
    count = sum(line.startswith(("train-", "validation-")) for line in first)
    assert f"({count} parts written, 0 there already)" in first[-1]
    before = {file: file.read_bytes() for file in into.rglob("*") if file.is_file()}
    stamps = {file: file.stat().st_mtime_ns for file in before if file.suffix == ".png"}
    assert f"(0 parts written, {count} there already)" in made(output, into, part_bytes=1)[-1]
    assert before == {file: file.read_bytes() for file in into.rglob("*") if file.is_file()}
    assert stamps == {file: file.stat().st_mtime_ns for file in stamps}
    next(iter(stamps)).unlink()
    assert f"(1 part written, {count - 1} there already)" in made(output, into, part_bytes=1)[-1]
    assert before == {file: file.read_bytes() for file in into.rglob("*") if file.is_file()}


def test_a_process_that_ends_in_the_middle_leaves_nothing_that_stays(tmp_path: Path) -> None:
    output = LabelledOutput(tmp_path / "out", scenes=4)
    into = tmp_path / "set"
    begun = make_dataset(output.storage, Choices(Format.COCO, validation=0.0), str(into), 1)
    for line in begun:
        if line.startswith("train-000000"):
            break
    begun.close()
    gone = keys_in(into)[0].split("-")[0].removesuffix(".png")
    withdraw(output.storage, gone)
    lines = made(output, into, part_bytes=1, validation=0.0)
    assert "of a withdrawn scene" in lines[-2]
    assert not any(gone in name for name in keys_in(into))
    assert not any(gone.encode() in file.read_bytes() for file in into.rglob("*") if file.is_file())
    (Path(output.storage.url) / FOLDER / gone).unlink()
    made(output, into, part_bytes=1, validation=0.0)
    assert any(gone in name for name in keys_in(into))


def test_what_a_killed_process_wrote_beside_its_name_goes(output: LabelledOutput, tmp_path: Path) -> None:
    into = tmp_path / "set"
    made(output, into, validation=0.0)
    before = sorted(into.rglob("*"))
    for name in ("README.md", "train/a.png", ".unscene/parts/train-000000.json"):
        (into / f"{name}.{'0a' * 16}.tmp").touch()
    (into / "notes.tmp").touch()
    made(output, into, validation=0.0)
    assert sorted(into.rglob("*")) == sorted([*before, into / "notes.tmp"])
    begun = tmp_path / "begun" / ".unscene"
    begun.mkdir(parents=True)
    (begun / f"dataset.json.{'0a' * 16}.tmp").touch()
    made(output, begun.parent, validation=0.0)
    assert not list(begun.glob("*.tmp"))


def keys_in(into: Path) -> list[str]:
    return sorted(file.name for file in into.rglob("*.png"))


def test_a_job_that_grew_adds_parts_and_keeps_the_numbers_of_classes(tmp_path: Path) -> None:
    output = LabelledOutput(tmp_path / "out", scenes=6, shards=1, words=("cat", "dog"))
    into = tmp_path / "set"
    made(output, into, part_bytes=1, validation=0.0)
    before = keys(into)
    output.words = ("ant", "dog")
    output._commit_shard(1, (INGEST, SEGMENT, EXTRACT, GENERATE))
    lines = made(output, into, part_bytes=1, validation=0.0)
    assert "without scores (yet)" in lines[-2]
    assert [row["name"] for row in coco(into).cats.values()] == ["cat", "dog", "ant"]
    assert keys(into)[: len(before)] == before
    assert re.search(r"\(\d+ parts written, 4 there already\)", lines[-1])


def test_a_folder_that_is_not_for_it_is_refused(output: LabelledOutput, tmp_path: Path) -> None:
    inside = Path(output.storage.url) / "set"
    with pytest.raises(CommandError, match=r"--into .*: it lies in the OUTPUT, which only the job writes to"):
        made(output, inside)
    with pytest.raises(CommandError, match=r"--into .*: it is the OUTPUT itself"):
        made(output, Path(output.storage.url))
    other = LabelledOutput(tmp_path / "other", scenes=1)
    with pytest.raises(CommandError, match=r"--into .*/other: it is the output of a job \(run.json\)"):
        made(output, Path(other.storage.url))
    below = Path(other.storage.url) / "sets" / "demo"
    with pytest.raises(CommandError, match=r"--into .*/demo: it lies in .*/other, the output of a job, which alone "):
        made(output, below)
    (tmp_path / "link").symlink_to(other.storage.url)
    with pytest.raises(CommandError, match=r"lies in .*/other, the output of a job"):
        made(output, tmp_path / "link" / "set")
    assert not below.parent.exists()
    (tmp_path / "run.json").write_text("{}")  # of something else
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(CommandError, match=r"--into .*/full: something else lies there; name a folder"):
        made(output, tmp_path / "full")
    with pytest.raises(CommandError, match=r"a file of that name is there; name a folder"):
        made(output, tmp_path / "full" / "thesis.tex")
    made(output, tmp_path / "set")
    with pytest.raises(CommandError, match=r'made with --scenes "include", --cap left out; type the same to go on'):
        made(output, tmp_path / "set", scenes=Scenes.ONLY, cap=3)
    with pytest.raises(CommandError, match=r"made with output .*/out\"; type the same"):
        made(other, tmp_path / "set")
    (tmp_path / "set" / ".unscene" / "dataset.json").write_text("{")
    with pytest.raises(CommandError, match=r"dataset.json there cannot be read"):
        made(output, tmp_path / "set")


def test_where_no_picture_is_left_other_options_may_be_asked_for(tmp_path: Path) -> None:
    output = LabelledOutput(tmp_path / "out", scenes=2, found=lambda *_: [0, 0])
    with pytest.raises(CommandError, match=r"out is left for the data set: left out: 4 of 4 pictures \(.*by --unkept"):
        made(output, tmp_path / "set", scenes=Scenes.NONE)
    made(output, tmp_path / "set", scenes=Scenes.ONLY)
    assert keys(
        tmp_path / "set", *(folder.name for folder in (tmp_path / "set").iterdir() if folder.name in ("train", "valid"))
    )


def test_a_damaged_picture_costs_itself_and_is_told(tmp_path: Path) -> None:
    output = LabelledOutput(tmp_path / "out", scenes=2)
    tar = next((tmp_path / "out" / "variations").glob("*.tar"))
    data = bytearray(tar.read_bytes())
    data[700] ^= 255
    tar.write_bytes(data)
    lines = made(output, tmp_path / "set", validation=0.0)
    assert any("NotAsCommitted" in line for line in lines)
    assert "1 damaged: its files cannot be read" in lines[-2]
    assert len(keys(tmp_path / "set")) == 2 + 3 - 1
    data[700] ^= 255
    tar.write_bytes(data)
    lines = made(output, tmp_path / "set", validation=0.0)
    assert len(keys(tmp_path / "set")) == 2 + 3, "its file was restored"
    assert "(1 part written, 0 there already)" in lines[-1]
    assert "(0 parts written, 1 there already)" in made(output, tmp_path / "set", validation=0.0)[-1]


def test_pictures_are_of_one_kind(tmp_path: Path) -> None:
    output = LabelledOutput(tmp_path / "out", scenes=2, settings={"generate.format": "jpg"})
    made(output, tmp_path / "set", validation=0.0)
    pictures = {image["file_name"].rpartition(".")[2] for image in coco(tmp_path / "set").imgs.values()}
    assert pictures == {"jpg"}
    assert all(file.read_bytes().startswith(b"\xff\xd8") for file in (tmp_path / "set").rglob("*.jpg"))


def test_the_command_that_scores_anew_names_each_field_once_and_takes_all_scenes(output: LabelledOutput) -> None:
    """`--set output=out/few ... --set output=ANOTHER` works, and reads as a mistake."""
    command = "unscene run p.yaml --set output=out --limit 2 --set extract.phase1.steps=6 --until segment"
    announce(output.storage, "ended", command=command)
    ours = f"--set source.handles={output.storage.url} --set source.uri=null"
    assert DatasetSource(output.storage, new=False).anew() == (
        f"`unscene run p.yaml --set extract.phase1.steps=6 {ours} --set evaluate.enabled=true --set output=ANOTHER`"
    )

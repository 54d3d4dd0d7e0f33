"""`unscene dataset`: which pictures are in, under which classes: caps, ratios, real scenes, crowds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.dataset.choices import Choices, Format, Scenes
from pipeline.dataset.classes import ClassMap
from pipeline.dataset.making import make_dataset
from pipeline.stage_kinds import INGEST, SEGMENT
from schemas.errors import CommandError
from tests.support.labelled_output import LabelledOutput, as_asked
from tests.support.made_coco import coco, keys, made
from tests.support.sample_output import with_given_handles


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> LabelledOutput:
    """Nine scenes with four pictures each, one of which is a copy; one fails in extract, and has none."""
    return LabelledOutput(tmp_path_factory.mktemp("made") / "out", scenes=9)


def test_classes_are_words_or_what_a_map_makes_of_them(tmp_path: Path) -> None:
    output = LabelledOutput(tmp_path / "out", scenes=2, words=("cat", None))
    lines = made(output, tmp_path / "one", validation=0.0)
    assert lines[0] == (
        "2 of 4 concepts, in 2 scenes, have no word and are of the class object (--classes maps object, "
        "segment.vocabulary names them)"
    )
    mapped = ClassMap({"cat": "animal", "tree": None, "*": None})
    lines = made(output, tmp_path / "two", validation=0.0, classes=mapped)
    assert lines[:2] == [
        "2 of 4 concepts, in 2 scenes, have no word and are left out by --classes",
        "--classes names tree, which no concept is called",
    ]
    found = coco(tmp_path / "two")
    assert [row["name"] for row in found.cats.values()] == ["animal"]
    assert {thing["category_id"] for thing in found.anns.values()} == {1}
    assert json.loads((tmp_path / "two" / "classes.json").read_text()) == {
        "classes": ["animal"],
        "id2label": {"1": "animal"},
    }
    with pytest.raises(CommandError, match=r"--classes: it leaves out every word"):
        made(output, tmp_path / "three", classes=ClassMap({"*": None}))


def test_a_cap_a_ratio_and_single_concepts(output: LabelledOutput, tmp_path: Path) -> None:
    made(output, tmp_path / "cap", cap=7, validation=0.0)
    found = coco(tmp_path / "cap")
    counts = {number: len(found.getImgIds(catIds=[number])) for number in (1, 2)}
    assert counts[1] == 7
    assert 0 < counts[2] <= 7
    lines = made(output, tmp_path / "ratio", ratio=1.5, validation=0.0)
    per_scene = [0, 0, 0]
    for scene in {key.split("-")[0] for key in keys(tmp_path / "ratio")}:
        per_scene[sum(key.startswith(f"{scene}-") for key in keys(tmp_path / "ratio"))] += 1
    assert per_scene[0] == 1  # of the scene that has no handles
    assert min(per_scene[1:]) > 0
    assert "over --ratio" in lines[-2]
    lines = made(output, tmp_path / "singles", singles=True, validation=0.0)
    assert {key[-5:] for key in keys(tmp_path / "singles")} == {"-0000", "-0001"}
    assert "9 several concepts (--singles)" in lines[-2]
    assert "16 several concepts asked for (--singles)" in lines[-2]


def test_a_ratio_holds_of_what_is_left_by_a_cap(output: LabelledOutput, tmp_path: Path) -> None:
    for cap in (2, 4, 6):
        lines = made(output, tmp_path / f"set{cap}", cap=cap, ratio=1.0, validation=0.0)
        found = keys(tmp_path / f"set{cap}")
        real = {key for key in found if "-" not in key}
        new = [key.split("-")[0] for key in found if "-" in key]
        assert len(new) == len(set(new)), "one to each real one at most"
        assert set(new) <= real
        shown = coco(tmp_path / f"set{cap}")
        assert len(shown.getImgIds(catIds=[1])) == cap, "and as many as the cap leaves room for"
        assert "over --cap" in lines[-2]


def test_a_cap_counts_only_what_can_be_labelled(tmp_path: Path) -> None:
    """As of three that were placed where two can be told apart, in an output of an Unscene that gave masks no ids."""

    def found(scene: int, number: int, asked: Sequence[int]) -> list[int]:
        return [3, 0] if number == 0 else as_asked(scene, number, asked)

    output = LabelledOutput(tmp_path / "out", scenes=9, found=found, placed=True, earlier=True)
    made(output, tmp_path / "set", validation=0.0, scenes=Scenes.NONE, cap=10)
    assert len(keys(tmp_path / "set")) == 10


@pytest.mark.parametrize("ratio", [float("nan"), float("inf"), -1.0])
def test_a_ratio_that_is_no_number_from_0_on_is_refused(ratio: float) -> None:
    with pytest.raises(
        CommandError, match=rf"^--ratio {ratio:g}: it is a number from 0 on; name 4 .*, or leave it out"
    ):
        Choices(Format.COCO, ratio=ratio)


def test_a_single_concept_is_alone_in_its_picture(tmp_path: Path) -> None:
    def found(scene: int, number: int, asked: Sequence[int]) -> list[int]:
        return [1, 1] if number == 1 else as_asked(scene, number, asked)

    output = LabelledOutput(tmp_path / "out", scenes=3, found=found)
    for classes in (ClassMap(), ClassMap({"dog": None})):
        into = tmp_path / f"set{len(classes.classes)}"
        lines = made(output, into, singles=True, validation=0.0, classes=classes)
        assert {key[-5:] for key in keys(into)} == {"-0000"}
        assert "2 shows another concept too (--singles)" in lines[-2]


def test_real_scenes_alone_need_no_scores_and_unkept_pictures_come_when_asked(tmp_path: Path) -> None:
    begun = LabelledOutput(tmp_path / "out", scenes=3, stages=(INGEST, SEGMENT))
    made(begun, tmp_path / "real", scenes=Scenes.ONLY, validation=0.0)
    assert len(keys(tmp_path / "real")) == 3
    with pytest.raises(CommandError, match=r"has no scores yet, which hold the masks .* by --scenes only"):
        made(begun, tmp_path / "new")
    output = LabelledOutput(tmp_path / "whole", scenes=2)
    made(output, tmp_path / "all", unkept=True, scenes=Scenes.NONE, validation=0.0)
    assert len(keys(tmp_path / "all")) == 4
    later = with_given_handles(tmp_path / "later", output)
    with pytest.raises(
        CommandError,
        match=r"later has no scores, .*`unscene run SPEC --set source.handles=.*/whole .*evaluate.enabled=true",
    ):
        list(make_dataset(later, Choices(Format.COCO), str(tmp_path / "x")))


def test_a_real_picture_with_a_mask_that_is_no_concept_is_left_out(tmp_path: Path) -> None:
    """As a scene is that came with more masks than `segment.max_concepts`: its other things would have no label."""
    output = LabelledOutput(tmp_path / "out", scenes=3, given=3)
    lines = made(output, tmp_path / "set", validation=0.0)
    assert "3 real, with more masks than concepts (segment.max_concepts)" in lines[-2]
    assert all("-" in key for key in keys(tmp_path / "set"))
    output = LabelledOutput(tmp_path / "all", scenes=3, given=2)
    made(output, tmp_path / "whole", validation=0.0)
    assert sum("-" not in key for key in keys(tmp_path / "whole")) == 3


@pytest.mark.parametrize(
    ("reason", "real"),
    [
        ("it is marked iscrowd, and source.crowds is skip", 0),
        ("it has a box and no segmentation", 0),
        ("outside the crop: too little of it is inside the square; use ingest.square: pad", 3),
        ("too small: it covers less than 1/4096 of the square; draw it larger, or take it out", 3),
        ("empty: no pixel of it is inside; export it again, or take it out", 3),
    ],
)
def test_a_real_picture_with_a_thing_whose_mask_was_not_used_is_left_out(
    reason: str, real: int, tmp_path: Path
) -> None:
    output = LabelledOutput(tmp_path / "out", scenes=3, given=2, unused={"7": reason})
    lines = made(output, tmp_path / "set", validation=0.0)
    assert sum("-" not in key for key in keys(tmp_path / "set")) == real
    assert ("3 real, with a thing whose mask was not used" in lines[-2]) == (not real)


@pytest.mark.parametrize("crowds", [False, True])
def test_what_is_marked_iscrowd_is_an_object_where_it_is_said_to_be_one(crowds: bool, tmp_path: Path) -> None:
    """The second concept is, which pictures that ask for the first alone do not show."""
    output = LabelledOutput(tmp_path / "out", scenes=3, given=2, crowds=(False, True))
    lines = made(output, tmp_path / "set", validation=0.0, crowds=crowds)
    left = "5 with what is marked iscrowd (--crowds takes each as one object)"
    assert (left in lines[-2]) == (not crowds)
    assert {key[-5:] for key in keys(tmp_path / "set") if "-" in key} == {"-0000", "-0001"} | (
        {"-0002"} if crowds else set()
    )
    made(output, tmp_path / "mapped", validation=0.0, crowds=crowds, classes=ClassMap({"dog": None}))
    assert len(keys(tmp_path / "mapped")) == 3 + 2 * 3, "what has no class is no object either way"


def test_a_picture_that_was_placed_among_things_without_a_label_is_left_out(tmp_path: Path) -> None:
    output = LabelledOutput(tmp_path / "out", scenes=3, into="photos/street.jpg")
    lines = made(output, tmp_path / "set", validation=0.0)
    assert not any("-" in key for key in keys(tmp_path / "set"))
    assert "8 placed into a given picture, whose things have no labels and which other scenes share" in lines[-2]
    output = LabelledOutput(tmp_path / "own", scenes=3, given=2, placed=True)
    made(output, tmp_path / "labelled", validation=0.0)
    assert sum("-" in key for key in keys(tmp_path / "labelled")) == 6
    output = LabelledOutput(tmp_path / "more", scenes=3, given=3, placed=True)
    with pytest.raises(CommandError, match=r"8 placed into a real picture with a thing that has no label"):
        made(output, tmp_path / "unlabelled", validation=0.0)

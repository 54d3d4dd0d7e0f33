"""The COCO JSON as a whole: what it is, whose annotations are whose, and what is said of it."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas.errors import SpecError
from schemas.job import Source
from stages.ingest.given_masks.coco_entries import CocoFile
from stages.ingest.given_masks.coco_file import read_coco

POLYGON = [[2, 2, 12, 2, 12, 12, 2, 12]]
SHEEP = [{"id": 7, "name": "sheep"}]


def image(id: Any, name: Any = "a.png", **more: Any) -> dict[str, Any]:
    return {"id": id, "file_name": name, "width": 60, "height": 40, **more}


def mark(id: Any, image_id: Any = 1, **more: Any) -> dict[str, Any]:
    return {"id": id, "image_id": image_id, "category_id": 7, "segmentation": POLYGON, **more}


def source_of(folder: Path, data: bytes, **fields: Any) -> Source:
    file = folder / "instances.json"
    file.write_bytes(data)
    return Source(uri=str(folder), masks="coco", coco=str(file), **fields)


def read(folder: Path, images: Any, annotations: Any, categories: Any = SHEEP, **fields: Any) -> CocoFile:
    document = {"images": images, "annotations": annotations, "categories": categories}
    return read_coco(source_of(folder, json.dumps(document).encode(), **fields))


def refused(folder: Path, document: Any) -> str:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    with pytest.raises(SpecError, match=r"^source\.coco: .*instances\.json") as raised:
        read_coco(source_of(folder, data))
    return str(raised.value)


@pytest.mark.parametrize(
    ("images", "annotations", "categories", "message"),
    [
        ([image(3, "x.png"), image("3", "y.png")], [mark(1, 3)], SHEEP, r"image id 3 twice, x.png and y.png"),
        (
            [image(3), image(3.0, width=61)],
            [mark(1, 3)],
            SHEEP,
            r"image id 3 twice, a.png of \(60, 40\) and of \(61, 40\)",
        ),
        ([image(1)], [mark(1)], [*SHEEP, {"id": "7", "name": "goat"}], r"category id 7 twice, sheep and goat"),
        (
            [image(1)],
            [mark(1)],
            [*SHEEP, {"id": 7, "name": None}],
            r"category id 7 twice, sheep and one without a name",
        ),
        (
            [image(1), image(2, "b.png")],
            [mark(5), mark("5", 2)],
            SHEEP,
            r"annotation id 5 twice, of image 1 and of image 2",
        ),
        ([image(None)], [mark(1)], SHEEP, r"image number 1 of it \('a.png'\) has the id null; give it one"),
        ([image(True)], [mark(1)], SHEEP, r"image number 1 of it .* has the id true"),
        ([image(1), None], [mark(1)], SHEEP, r"image number 2 of it is null, where an object belongs"),
        ([image(1)], [mark(1)], [{"name": "sheep"}], r"category number 1 of it \('sheep'\) has the id null"),
        ([image(1)], [mark(1)], [{"id": 1, "name": ["sheep"]}], r"name of category 1 is a list"),
        ([image(1)], {"1": mark(1)}, SHEEP, r"'annotations' is an object, where a list belongs"),
    ],
)
def test_what_makes_pictures_or_words_exchangeable_costs_the_file(
    tmp_path: Path, images: Any, annotations: Any, categories: Any, message: str
) -> None:
    found = refused(tmp_path, {"images": images, "annotations": annotations, "categories": categories})
    assert re.search(message, found), found


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (b"", "it is empty"),
        (b"not json", "Expecting value"),
        (b'{"images": [{"id": 1}, ', "it ends too early"),
        (b'{"id": 1}\n{"id": 2}\n', "JSON lines"),
        (b"<html></html>", "XML or a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (gzip.compress(b"{}", mtime=0), "compressed or an archive; unpack it"),
        (b"PK\x03\x04rest", "compressed or an archive; unpack it"),
        ('{"images": "ä"}'.encode("latin-1"), "save it as UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"images": [], "annotations": [1], "annotations": [], "categories": []}', "'annotations' stands twice"),
        ([], "it is a list"),
        ({}, "it needs images, annotations and categories"),
        (7, "it is 7"),
        ([{"image_id": 1, "category_id": 1, "segmentation": POLYGON, "score": 0.9}], "a list of results"),
        ([{"id": 1, "data": {"image": "a.png"}, "annotations": []}], "it is a list, as other tools write"),
        ({"shapes": [], "imagePath": "a.png"}, "a LabelMe file"),
        ({"image": {}, "annotations": [mark(1)]}, "as SA-1B has them"),
        ({"images": [image(1)]}, "images without annotations"),
        ({"images": [image(1)], "annotations": [{"image_id": 1, "segments_info": [{"id": 7}]}]}, "a panoptic JSON"),
        ({"images": [image(1)], "annotations": [{"image_id": 1, "caption": "a sheep"}]}, "a captions JSON"),
        (
            {"images": [image(1)], "annotations": [{"image_id": 1, "keypoints": [1, 2, 2], "bbox": [1]}]},
            "a keypoints JSON",
        ),
        ({"images": [image(1)], "annotations": [{"image_id": 1, "bbox": [1, 2, 3, 4]}]}, "boxes only"),
    ],
)
def test_a_file_of_something_else_is_recognised(tmp_path: Path, document: Any, message: str) -> None:
    assert message in refused(tmp_path, document)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_any_unicode_is_read(tmp_path: Path, encoding: str) -> None:
    document = {
        "images": [image(1, "été.png")],
        "annotations": [mark(1)],
        "categories": [{"id": 7, "name": "mouton né"}],
    }
    found = read_coco(source_of(tmp_path, json.dumps(document, ensure_ascii=False).encode(encoding)))
    assert found.entries["1"].file_name == "été.png"
    assert found.entries["1"].annotations[0].word == "mouton né"


def test_half_a_character_is_read_as_its_escape_and_said(tmp_path: Path) -> None:
    """`json.dumps(os.listdir())` writes "\\udcff" for the byte 0xff of a name."""
    name = b"m\xff\xe9.png".decode("utf-8", "surrogateescape")
    rows = [mark("a\udcff", "b\ud800", category_id="c\udfff"), mark("gr\u00fcn", "b\ud800", category_id="c\udfff")]
    found = read(tmp_path, [image("b\ud800", name)], rows, [{"id": "c\udfff", "name": "shee\udcf0p"}])
    (entry,) = found.entries.values()
    assert (entry.id, entry.file_name) == ("b\\ud800", "m\\udcff\\udce9.png")
    assert [(one.id, one.word) for one in entry.annotations] == [
        ("a\\udcff", "shee\\udcf0p"),
        ("gr\u00fcn", "shee\\udcf0p"),
    ]
    assert found.remarks == [
        "5 texts (such as b\\ud800) not in Unicode, read with a backslash escape for each half of a character"
    ]
    assert read(tmp_path, [image(1)], [mark(2, "x\udc80")]).orphans[0][1].isascii()


@pytest.mark.parametrize(("there", "named"), [("4", 4), (4, "4"), (4, 4.0), ("4.0", 4), (" 4 ", "4"), ("4", "4.0")])
def test_a_number_and_its_text_are_one_id(tmp_path: Path, there: Any, named: Any) -> None:
    found = read(tmp_path, [image(there)], [mark(1, named, category_id=named)], [{"id": there, "name": "sheep"}])
    assert [one.word for one in found.entries["4"].annotations] == ["sheep"]
    assert not found.orphans


def test_ids_that_are_texts_stay_apart(tmp_path: Path) -> None:
    found = read(tmp_path, [image("04"), image("4", "b.png"), image("x", "c.png")], [mark("", "x"), mark(None, 4)])
    assert {id: [one.id for one in entry.annotations] for id, entry in found.entries.items()} == {
        "04": [],
        "4": ["#2"],
        "x": ["#1"],
    }


def test_an_annotation_of_no_image_is_an_orphan(tmp_path: Path) -> None:
    found = read(tmp_path, [image(1)], [mark(1), mark(2, 9), mark(3, None), None])
    assert [id for id, _ in found.orphans] == ["2", "3", "#4"]
    assert [why for _, why in found.orphans] == [
        "its image_id is 9, which no image has",
        "its image_id is null, which no image has",
        "it is null, not an object",
    ]
    assert any(
        remark.startswith("3 annotations (such as 2) of no image of the file, left out") for remark in found.remarks
    )


@pytest.mark.parametrize(("name", "word"), [(None, None), ("", None), ("  ", None), (" sheep ", "sheep"), (5, "5")])
def test_null_is_no_word(tmp_path: Path, name: Any, word: str | None) -> None:
    found = read(tmp_path, [image(1)], [mark(1)], [{"id": 7, "name": name}])
    assert found.entries["1"].annotations[0].word == word
    assert found.remarks == ([] if word else ["1 category (such as 7) without a name: no word"])


def test_a_word_that_is_not_found_is_said(tmp_path: Path) -> None:
    rows = [mark(1, category_id=8), mark(2, category_id=8), mark(3, category_id=None), mark(4)]
    found = read(tmp_path, [image(1)], rows, None)
    assert [one.word for one in found.entries["1"].annotations] == [None] * 4
    assert found.remarks == [
        "2 category ids (such as 8) that no category has: no word",
        "1 annotation (such as 3) without a category_id: no word",
    ]


def test_crowds_are_used_or_skipped_and_said_either_way(tmp_path: Path) -> None:
    rows = [mark(1, iscrowd=1), mark(2, iscrowd="0"), mark(3, iscrowd=True), mark(4, iscrowd=None)]
    used = read(tmp_path, [image(1)], rows)
    assert [one.dropped for one in used.entries["1"].annotations] == [None] * 4
    assert [one.crowd for one in used.entries["1"].annotations] == [True, False, True, False]
    assert used.remarks == ["2 annotations (such as 1) marked iscrowd and used (source.crowds: use)"]
    skipped = read(tmp_path, [image(1)], rows, crowds="skip")
    assert [one.dropped is None for one in skipped.entries["1"].annotations] == [False, True, False, True]
    assert skipped.remarks == ["2 annotations (such as 1) marked iscrowd and left out (source.crowds: skip)"]


def test_an_annotation_without_a_shape_is_left_out_and_a_broken_one_is_named(tmp_path: Path) -> None:
    rows = [
        mark(1, segmentation=[], bbox=[1, 1, 2, 2]),
        mark(2, segmentation=None),
        mark(3, segmentation=[[1, 2, None]]),
    ]
    found = read(tmp_path, [image(1), image(2, "b.png")], [*rows, mark(4, 2)])
    first, second, third = found.entries["1"].annotations
    assert (first.dropped, second.dropped) == ("it has a box and no segmentation", "it has no segmentation")
    assert third.broken is not None
    assert third.broken.startswith("COCO annotation 3 cannot be drawn: coordinate 3 of polygon 1 is null")
    assert third.broken.endswith(f"correct it in {tmp_path}/instances.json, or take it out")
    assert found.entries["2"].annotations[0].broken is None


def test_nan_is_a_number_only_to_python(tmp_path: Path) -> None:
    rows = [mark(1, area=float("nan")), mark(2, segmentation=[[1, 1, float("nan"), 5, 5, 5]])]
    found = read(tmp_path, [image(1, width=float("nan"))], rows)
    assert found.entries["1"].size is None
    assert [one.broken is None for one in found.entries["1"].annotations] == [True, False]


@pytest.mark.parametrize(
    "sides",
    [{"width": None}, {"width": 0}, {"height": -4}, {"width": "wide"}, {"width": True}, {"width": "9" * 5000}],
)
def test_a_size_that_is_none_is_said(tmp_path: Path, sides: dict[str, Any]) -> None:
    found = read(tmp_path, [image(1, **sides)], [mark(1)])
    assert found.entries["1"].size is None
    assert found.remarks == ["1 image (such as 1) without a usable width and height: those of its picture count"]


@pytest.mark.parametrize("sides", [{"width": 60.0}, {"width": "60"}])
def test_a_size_in_another_type_is_a_size(tmp_path: Path, sides: dict[str, Any]) -> None:
    assert read(tmp_path, [image(1, **sides)], [mark(1)]).entries["1"].size == (60, 40)


def test_lvis_names_its_pictures_by_their_address(tmp_path: Path) -> None:
    there = {"id": 1, "coco_url": "http://images.cocodataset.org/val2017/1.jpg", "width": 60, "height": 40}
    found = read(tmp_path, [there, image(2, None), image(3, 5)], [mark(1)])
    assert [entry.file_name for entry in found.entries.values()] == [there["coco_url"], "", ""]
    assert found.remarks == ["2 images (such as 2) without a file_name, of which no picture can be found"]


def test_the_digest_sees_what_is_drawn_and_nothing_else(tmp_path: Path) -> None:
    def digest(*rows: dict[str, Any], name: str = "sheep", **sides: Any) -> str:
        found = read(tmp_path, [image("1", **sides)], list(rows), [{"id": 7.0, "name": name}])
        return found.entries["1"].digest()

    runs = {"size": [40, 60], "counts": [2000, 400]}
    plain = digest(mark(1))
    assert plain == digest({"segmentation": [[[2.0, 2], [12, 2], [12, 12], [2, 12]]], **mark("5", 1.0)})
    assert plain == digest(mark(1), mark(2, segmentation=None)), "what is left out decides nothing"
    different = [
        digest(),
        digest(mark(1), mark(2)),
        digest(mark(1), name="goat"),
        digest(mark(1), width=61),
        digest(mark(1, category_id=8)),
        digest(mark(1, segmentation=[[2, 2, 12, 2, 12, 12, 2, 13]])),
        digest(mark(1, segmentation=runs)),
        digest(mark(1, segmentation={**runs, "counts": [1999, 401]})),
        digest(mark(1, segmentation=None)),
        digest(mark(1, segmentation=[[None]])),
    ]
    assert len({plain, *different}) == 11


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    assert len(read(tmp_path, [image(1)], [mark(1)]).entries["1"].annotations) == 1
    assert len(read(tmp_path, [image(1)], [mark(1), mark(2)]).entries["1"].annotations) == 2


def test_polygons_are_held_as_arrays(tmp_path: Path) -> None:
    """A quarter of what JSON's lists take: instances files have hundreds of megabytes."""
    shape = read(tmp_path, [image(1)], [mark(1)]).entries["1"].annotations[0].segmentation
    assert isinstance(shape, list)
    assert all(isinstance(polygon, np.ndarray) and polygon.dtype == np.float64 for polygon in shape)


def test_a_json_that_is_not_there_stops_the_job(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"source\.coco: cannot read .*gone\.json"):
        read_coco(Source(uri=str(tmp_path), masks="coco", coco=str(tmp_path / "gone.json")))

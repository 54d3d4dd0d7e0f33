"""Which image of the JSON a picture is: its own path first, a looser likeness only where there is no choice."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest

from schemas.errors import SpecError
from stages.ingest.given_masks.coco_entries import Annotation, CocoFile, Entry
from stages.ingest.given_masks.coco_names import Matches, check_any, match_names

SHAPE = [np.array([0.0, 0, 5, 0, 5, 5])]


def coco(*names: str, annotations: tuple[Annotation, ...] = (Annotation("1", None, SHAPE),)) -> CocoFile:
    """Images 0, 1 ... of these names."""
    entries = {str(n): Entry(str(n), name, (60, 40), annotations) for n, name in enumerate(names)}
    return CocoFile("some.json", entries, [], [])


def match(paths: list[str], *names: str) -> Matches:
    return match_names(paths, coco(*names))


@pytest.mark.parametrize(
    "name", ["x/a b.jpg", "./x/a b.jpg", "/x/a b.jpg", "x\\a b.jpg", ".\\x\\a b.jpg", "x//./a b.jpg"]
)
def test_the_same_path_is_not_worth_a_word(name: str) -> None:
    found = match(["x/a b.jpg"], name)
    assert found.of == {"x/a b.jpg": "0"}
    assert found.said == []


def test_a_name_that_holds_a_backslash_is_its_own() -> None:
    assert match(["a/b.jpg", "a\\b.jpg"], "a\\b.jpg", "a/b.jpg").of == {"a/b.jpg": "1", "a\\b.jpg": "0"}
    assert match(["a/b.jpg", "a\\b.jpg"], "a/b.jpg").of == {"a/b.jpg": "0"}


@pytest.mark.parametrize(
    ("path", "name", "kind"),
    [
        ("x/my photo#1.jpg", "x/my%20photo%231.jpg", "URL-encoding"),
        ("x/my%20photo.jpg", "x/my photo.jpg", "URL-encoding"),
        ("x/caf\u00e9.jpg", "x/cafe\u0301.jpg", "accents composed otherwise"),
        ("x/cafe\u0301.jpg", "x/caf%C3%A9.jpg", "URL-encoding"),
        ("X/A.JPG", "x/a.jpg", "upper and lower case"),
        ("x/a.png", "x/a.jpg", "another suffix"),
        ("x/a.JPEG", "x/a.tiff", "another suffix"),
        ("x/a.b.png", "x/a.b", "another suffix"),
        ("x/a.jpg", "x/0f3a5b7c-a.jpg", "a tool's prefix"),
        ("x/a.jpg", "https://host:80/x/a.jpg?token=1", "the path of its address"),
        ("x/a.jpg", "/data/local-files/?d=x/a.jpg", "the path of its address"),
        ("x/a b.jpg", "s3://bucket/x/a%20b.jpg", "URL-encoding"),
        ("x/a.jpg", "D:\\scans\\x\\a.jpg", "the end of the path"),
        ("night/x/a.jpg", "x/A.jpg", "the end of the path, upper and lower case"),
        ("x/a.jpg", "y/a.jpg", "the base name alone"),
        ("x/a b.JPG", "/data/upload/3/0f3a5b7c-a%20b.png", "the base name alone, a tool's prefix"),
    ],
)
def test_a_likeness_without_choice_is_taken_and_said(path: str, name: str, kind: str) -> None:
    found = match([path, "other/other.jpg"], name, "another/another.jpg")
    assert found.of == {path: "0"}
    assert found.said[0] == f"1 picture matched by {kind}, such as {path} for {name}"
    assert list(found.unmatched) == ["1"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("beach.jpg", "20240131-beach.jpg"),
        ("beach.jpg", "old-beach.jpg"),
        ("0f3a5b7c-beach.jpg", "beach.jpg"),
        ("a.b.jpg", "a.jpg"),
        ("a1.jpg", "a.jpg"),
    ],
)
def test_what_is_no_likeness_is_not_taken(path: str, name: str) -> None:
    found = match([path], name)
    assert (found.of, found.ambiguous) == ({}, {})
    assert found.unmatched == {"0": "no such picture"}


def test_an_entry_that_has_its_own_picture_is_no_other_picture_s() -> None:
    for paths in (["a/1.jpg", "b/1.jpg"], ["b/1.jpg", "a/1.jpg"]):
        found = match(paths, "a/1.jpg")
        assert (found.of, found.ambiguous) == ({"a/1.jpg": "0"}, {})
        assert found.said == ["1 picture without an entry, such as b/1.jpg: Segment Anything takes such apart"]


def test_a_tighter_likeness_takes_nothing_from_an_exact_one() -> None:
    found = match(["x/a.jpg", "x/A.jpg", "y/a.jpg"], "x/A.jpg", "x/a.jpg", "y/A.png")
    assert found.of == {"x/a.jpg": "1", "x/A.jpg": "0", "y/a.jpg": "2"}


@pytest.mark.parametrize(
    ("paths", "names", "ambiguous"),
    [
        (
            ["z/1.png"],
            ["x/1.png", "y/1.png"],
            "image 0 (x/1.png) and image 1 (y/1.png) of some.json could both be z/1.png",
        ),
        (["x/1.png", "y/1.png"], ["1.png"], "image 0 (1.png) of some.json could be y/1.png as well as x/1.png"),
        (["a.jpg"], ["a.jpg", "./a.jpg"], "could both be a.jpg; put their annotations under one image id"),
        (["a.jpg"], ["a.jpg", "a.jpg"], "could both be a.jpg; put their annotations under one image id"),
        (["a.jpg"], ["0f3a5b7c-a.jpg", "1f3a5b7c-a.jpg"], "could both be a.jpg; write the picture's path"),
        (["a.jpg", "a.png"], ["a.gif"], "image 0 (a.gif) of some.json could be a.png as well as a.jpg"),
        (["A.jpg"], ["a.jpg", "a.JPG"], "image 0 (a.jpg) and image 1 (a.JPG) of some.json could both be A.jpg"),
        (
            ["a/1.jpg", "b/1.jpg"],
            ["a/1.jpg", "1.jpg"],
            "(1.jpg) and image 0 (a/1.jpg) of some.json could both be b/1.jpg",
        ),
    ],
)
def test_where_there_is_a_choice_nothing_is_chosen(paths: list[str], names: list[str], ambiguous: str) -> None:
    found = match(paths, *names)
    last = paths[-1]
    assert last not in found.of
    assert ambiguous in found.ambiguous[last]
    assert any("between several entries" in one for one in found.said)


def test_folders_tell_where_they_tell_for_others() -> None:
    """The picture of one entry is gone; that costs none of the pictures in other folders that have no entry."""
    paths = [f"{n}/0001.jpg" for n in range(9)]
    found = match(paths, *(f"{n}/0001.jpg" for n in (0, 1, 2, 77)))
    assert found.of == {f"{n}/0001.jpg": str(n) for n in range(3)}
    assert found.ambiguous == {}
    assert found.unmatched == {"3": "no such picture"}


def test_paths_of_the_annotator_s_machine_are_told_by_their_ends() -> None:
    paths = [f"{n}/0001.jpg" for n in range(30)]
    found = match(paths, *(f"/mnt/ann/pics/{n}/0001.jpg" for n in range(30)))
    assert found.of == {path: str(n) for n, path in enumerate(paths)}
    assert found.said == ["30 pictures matched by the end of the path, such as 0/0001.jpg for /mnt/ann/pics/0/0001.jpg"]


def test_entries_that_can_have_no_picture_are_told() -> None:
    found = match_names(["a.jpg", "b.jpg"], coco("a.jpg", "", "c.jpg", annotations=()))
    assert found.unmatched == {"1": "it has no file_name", "2": "no such picture"}
    assert found.said == [
        "1 picture without an entry, such as b.jpg: Segment Anything takes such apart",
        "1 picture with an entry that has no annotation, such as a.jpg: Segment Anything takes such apart",
        "2 entries without a picture, such as image 1 (): it has no file_name",
    ]


def test_every_picture_and_every_entry_ends_somewhere_whatever_the_names() -> None:
    rng = np.random.default_rng(0)
    parts = ["a", "A", "b.c", "caf\u00e9", unicodedata.normalize("NFD", "caf\u00e9"), "caf%C3%A9", "0f3a5b7c-a"]
    for _ in range(300):
        names = [
            "/".join(
                [
                    *rng.choice(["x", "X", "y"], rng.integers(0, 3)),
                    rng.choice(parts) + rng.choice([".jpg", ".JPG", ".png"]),
                ]
            )
            for _ in range(12)
        ]
        paths, entries = list(dict.fromkeys(names[:6])), names[6:]
        found = match(paths, *entries)
        assert len(set(found.of.values())) == len(found.of), "an entry belongs to one picture"
        assert set(found.of.values()).isdisjoint(found.unmatched)
        assert set(found.of.values()) | set(found.unmatched) == {str(n) for n in range(6)}
        assert set(found.of).isdisjoint(found.ambiguous)
        for path in set(paths) & set(entries):
            assert entries.count(path) > 1 or entries[int(found.of[path])] == path, "the same path wins"
        shuffled = match_names(
            paths[::-1], CocoFile("some.json", dict(reversed(coco(*entries).entries.items())), [], [])
        )
        assert shuffled.of == found.of, "in whatever order they come"
        assert shuffled.ambiguous.keys() == found.ambiguous.keys()


@pytest.mark.parametrize(
    ("paths", "annotation", "message"),
    [
        (["b.jpg"], Annotation("1", None, SHAPE), r"image 0 \(a.jpg\) for one: no such picture; start source.uri at"),
        (
            ["a.jpg"],
            Annotation("5", None, None, dropped="it has no segmentation"),
            r"of annotation 5 for one, it has no",
        ),
        (["x/a.jpg", "y/a.jpg"], Annotation("1", None, SHAPE), r"could be x/a.jpg as well as y/a.jpg"),
    ],
)
def test_a_file_that_gives_no_picture_a_mask_is_refused(paths: list[str], annotation: Annotation, message: str) -> None:
    file = coco("a.jpg", annotations=(annotation,))
    with pytest.raises(
        SpecError, match=r"^source.coco: some.json has no segmentation for any picture of the source: .*" + message
    ):
        check_any(file, match_names(paths, file))


def test_one_annotation_is_enough_even_a_broken_one() -> None:
    for annotation in (Annotation("1", None, SHAPE), Annotation("1", None, None, broken="it is broken")):
        file = coco("a.jpg", "b.jpg", annotations=(annotation,))
        check_any(file, match_names(["a.jpg", "c.jpg"], file))

"""Masks of a COCO JSON as ingest asks for them, picture by picture."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from schemas.errors import SpecError
from schemas.job import Ingest, JobSpec, Source
from stages.ingest.census import Picked, take_census
from stages.ingest.decode import Picture
from stages.ingest.faults import FileChanged, MasksEmpty, MaskUnreadable
from stages.ingest.given_masks.coco import MasksCoco
from stages.ingest.given_masks.coco_file import read_coco
from stages.ingest.given_masks.given_mask import GivenMask

WIDTH, HEIGHT = 60, 40
PICTURE = Picture(Image.new("RGB", (WIDTH, HEIGHT)), "PNG")
POLYGON = [20.0, 10.0, 50.0, 10.0, 50.0, 30.0, 20.0, 30.0]
INSIDE = np.zeros((HEIGHT, WIDTH), bool)
INSIDE[10:30, 20:50] = True


class Masks:
    """A COCO file, and the masks of its images as a worker draws them and as the census gives them to pictures."""

    def __init__(self, source: Source) -> None:
        self.source, self.reader = source, MasksCoco(source, Ingest())

    def of_entry(self, image_id: str) -> list[GivenMask | str]:
        digest = read_coco(self.source).entries[image_id].digest()
        return [mask for _, mask in self.reader.masks_of(image_id, digest, PICTURE)]

    def census(self) -> dict[str, Picked]:
        """By the path below the source."""
        spec = JobSpec(source=self.source, output="out")
        folder = str(self.source.uri)
        return {str(Path(picked.uri).relative_to(folder)): picked for picked in take_census(spec).pictures}


def coco_masks(folder: Path, segmentations: dict[str, list[Any]], size: Any = (WIDTH, HEIGHT), **fields: Any) -> Masks:
    """segmentations: file_name -> segmentations (or whole annotations), all of category 7, `sheep`. The pictures of
    the source are put there by the test."""
    annotations = []
    for number, found in enumerate(segmentations.values()):
        for item in found:
            whole = item if isinstance(item, dict) and "segmentation" in item else {"segmentation": item}
            annotations.append({"id": len(annotations), "image_id": number, "category_id": 7, "iscrowd": 0, **whole})
    sides = {"width": size[0], "height": size[1]} if size else {}
    document = {
        "images": [{"id": n, "file_name": name, **sides} for n, name in enumerate(segmentations)],
        "annotations": annotations,
        "categories": [{"id": 7, "name": "sheep"}],
    }
    (folder / "instances.json").write_text(json.dumps(document))
    return Masks(Source(uri=str(folder), masks="coco", coco=str(folder / "instances.json"), **fields))


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        PICTURE.image.save(folder / name)


def test_annotations_are_drawn_in_their_order_with_their_words(tmp_path: Path) -> None:
    items = [
        [POLYGON],
        {"segmentation": [], "bbox": [1, 1, 2, 2]},
        {"segmentation": [[0, 0, 9, 0, 9, 9]], "category_id": 99},
    ]
    masks = coco_masks(tmp_path, {"a.png": items}).of_entry("0")
    first, second, third = masks
    assert isinstance(first, GivenMask)
    assert (first.word, first.name) == ("sheep", "COCO annotation 0")
    assert np.array_equal(np.asarray(first.image) > 127, INSIDE)
    assert second == "it has a box and no segmentation"
    assert isinstance(third, GivenMask)
    assert third.word is None, "an unknown category has no word"


def test_a_picture_is_found_by_its_path_and_one_without_an_entry_has_no_masks(tmp_path: Path) -> None:
    put(tmp_path, "x/1.png", "y/1.png", "z/1.png", "elsewhere/2.png", "empty.png")
    entries = {"x/1.png": [[POLYGON]], "y/1.png": [[POLYGON], [POLYGON]], "train/2.png": [[POLYGON]], "empty.png": []}
    found = coco_masks(tmp_path, entries).census()
    count = {name: len(picked.masks) for name, picked in found.items()}
    assert count == {"x/1.png": 1, "y/1.png": 2, "z/1.png": 0, "elsewhere/2.png": 1, "empty.png": 0}


def test_a_limit_does_not_make_a_name_the_only_one(tmp_path: Path) -> None:
    put(tmp_path, "a/1.png", "b/1.png")
    found = coco_masks(tmp_path, {"b/1.png": [[POLYGON]]}, limit=1).census()
    assert {name: picked.masks for name, picked in found.items()} == {"a/1.png": ()}


def test_a_picture_between_two_entries_has_neither_s_masks(tmp_path: Path) -> None:
    put(tmp_path, "z/1.png", "2.png")
    found = coco_masks(tmp_path, {"x/1.png": [[POLYGON]], "y/1.png": [[POLYGON]], "2.png": [[POLYGON]]})
    pictures = found.census()
    sentence = r"image 0 \(x/1\.png\) and image 1 \(y/1\.png\) .* could both be z/1\.png"
    assert re.search(sentence, str(pictures["z/1.png"].masks_fault))
    assert pictures["z/1.png"].masks == ()
    assert len(pictures["2.png"].masks) == 1


def test_a_file_without_a_mask_for_any_picture_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "a.png")
    with pytest.raises(SpecError, match=r"no segmentation for any picture of the source: image 0 \(b\.png\) for one"):
        coco_masks(tmp_path, {"b.png": [[POLYGON]]}).census()


def test_a_broken_annotation_costs_its_scene_and_all_of_them_are_named(tmp_path: Path) -> None:
    broken = [[POLYGON], [[20, 10, None, 10, 50, 30]], {"size": [HEIGHT, WIDTH], "counts": [5]}]
    found = coco_masks(tmp_path, {"a.png": broken, "b.png": [[POLYGON]]})
    with pytest.raises(MaskUnreadable, match=r"COCO annotation 1 cannot be drawn: coordinate 3 .*\(also broken: 2\)"):
        found.of_entry("0")
    assert len(found.of_entry("1")) == 1


def test_annotations_of_which_none_is_used_are_no_reason_for_segment_anything(tmp_path: Path) -> None:
    crowd = {"segmentation": [POLYGON], "iscrowd": 1}
    found = coco_masks(tmp_path, {"a.png": [crowd, {"segmentation": None}], "b.png": [crowd, [POLYGON]]}, crowds="skip")
    with pytest.raises(
        MasksEmpty, match=r"annotation 0: .*source\.crowds is skip; annotation 1: it has no segmentation"
    ):
        found.of_entry("0")
    assert [type(one) for one in found.of_entry("1")] == [str, GivenMask]


def test_an_image_without_a_size_is_as_large_as_its_picture_or_its_run_lengths(tmp_path: Path) -> None:
    runs = {"size": [HEIGHT // 2, WIDTH // 2], "counts": [300, 300]}
    found = coco_masks(tmp_path, {"a.png": [[POLYGON], runs], "b.png": [[[20, 10, 500, 10, 50, 30]]]}, size=None)
    first, second = found.of_entry("0")
    assert isinstance(first, GivenMask)
    assert isinstance(second, GivenMask)
    assert np.array_equal(np.asarray(first.image) > 127, INSIDE)
    assert second.image.size == (WIDTH // 2, HEIGHT // 2)
    with pytest.raises(MaskUnreadable, match=r"coordinate 3 of polygon 1 is 500, beyond the picture of 60x40"):
        found.of_entry("1")


def test_an_entry_of_absurd_size_is_refused(tmp_path: Path) -> None:
    found = coco_masks(tmp_path, {"a.png": []}, size=(10**6, 10**6))
    with pytest.raises(MaskUnreadable, match="max_pixels"):
        found.of_entry("0")
    huge = {"size": [10**6, 10**6], "counts": [10**12]}
    with pytest.raises(MaskUnreadable, match="max_pixels"):
        coco_masks(tmp_path, {"a.png": [huge]}, size=None).of_entry("0")


@pytest.mark.parametrize("image", ["0", "8"])
def test_an_image_that_changed_since_the_plan_is_told(tmp_path: Path, image: str) -> None:
    found = coco_masks(tmp_path, {"a.png": [[POLYGON]]})
    with pytest.raises(FileChanged, match=rf"changed since the plan, in image {image}; run the job again"):
        found.reader.masks_of(image, "another digest", PICTURE)


def test_every_annotation_ends_in_one_line(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "b.png")
    items = {"a.png": [[POLYGON], [POLYGON]], "b.png": [[POLYGON]], "gone.png": [[POLYGON], [POLYGON], None]}
    orphan = {"segmentation": [POLYGON], "image_id": 77}
    source = coco_masks(tmp_path, {**items, "more.png": [orphan]}, limit=1).source
    census = take_census(JobSpec(source=source, output="out"))
    given = [mask for picked in census.pictures for mask in picked.masks]
    left = {line.annotation: line.reason for line in census.lines if line.kind == "annotation"}
    assert given == ["0", "1"]
    assert left == {"2": "beyond source.limit", **dict.fromkeys("345", "no such picture"), "6": "of no image"}

"""Whose masks lie beside the pictures: one picture, one owner; every mask file is given or accounted for."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from schemas.job import JobSpec
from stages.ingest.census import Census, take_census


def census(folder: Path, *names: str) -> Census:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    spec = JobSpec.model_validate({"source": {"uri": str(folder), "masks": "beside"}, "output": "out"})
    found = take_census(spec)
    given = [mask for picked in found.pictures for mask in picked.masks]
    left = [line.uri for line in found.lines]
    everything = [str(path) for path in folder.rglob("*") if path.is_file()]
    assert sorted([*(picked.uri for picked in found.pictures), *given, *left]) == sorted(everything), "it adds up"
    return found


def masks(found: Census, folder: Path) -> dict[str, list[str]]:
    """Picture -> its masks, by their paths below the folder."""
    return {
        str(Path(picked.uri).relative_to(folder)): [str(Path(mask).relative_to(folder)) for mask in picked.masks]
        for picked in found.pictures
    }


def left_out(found: Census, folder: Path) -> dict[str, str | None]:
    return {str(Path(line.uri).relative_to(folder)): line.reason for line in found.lines}


def test_numbers_order_masks_and_may_have_gaps(tmp_path: Path) -> None:
    found = census(tmp_path, "s/img.png", "s/mask10.png", "s/mask0.png", "s/MASK3.PNG")
    assert masks(found, tmp_path) == {"s/img.png": ["s/mask0.png", "s/MASK3.PNG", "s/mask10.png"]}


def test_masks_by_stem_belong_to_their_picture_alone(tmp_path: Path) -> None:
    found = census(tmp_path, "a.png", "a.b.png", "c.png", "a.mask1.png", "a.b.MASK0.PNG")
    assert masks(found, tmp_path) == {"a.png": ["a.mask1.png"], "a.b.png": ["a.b.MASK0.PNG"], "c.png": []}
    assert any("without a mask beside them: 1" in remark for remark in found.remarks)


def test_plain_masks_beside_several_pictures_belong_to_none(tmp_path: Path) -> None:
    found = census(tmp_path, "a.png", "b.png", "mask0.png", "b.mask0.png")
    assert masks(found, tmp_path) == {"a.png": [], "b.png": ["b.mask0.png"]}
    faults = {Path(picked.uri).name: picked.masks_fault for picked in found.pictures}
    assert faults["b.png"] is None
    assert faults["a.png"] == (
        "mask0.png could belong to any of 2 pictures (a.png, b.png); name it a.png.mask0.png and so on, or give each "
        "picture its own folder"
    )
    assert left_out(found, tmp_path) == {"mask0.png": "mask of more than one picture"}


def test_one_stem_two_pictures_is_unclear_until_the_whole_name_is_written(tmp_path: Path) -> None:
    found = census(tmp_path, "dog.jpg", "dog.png", "dog.mask0.png")
    for picked in found.pictures:
        assert picked.masks == ()
        assert "dog.mask0.png could belong to any of 2 pictures (dog.jpg, dog.png)" in str(picked.masks_fault)
    (tmp_path / "dog.mask0.png").rename(tmp_path / "dog.jpg.mask0.png")
    found = census(tmp_path)
    assert masks(found, tmp_path) == {"dog.jpg": ["dog.jpg.mask0.png"], "dog.png": []}
    assert all(picked.masks_fault is None for picked in found.pictures)


def test_a_picture_of_a_format_that_is_not_read_may_own_the_mask(tmp_path: Path) -> None:
    found = census(tmp_path, "s/a.jpg", "s/b.nef", "s/mask0.png")
    assert "any of 2 pictures (a.jpg, b.nef)" in str(found.pictures[0].masks_fault)
    found = census(tmp_path / "t", "dog.jpg", "dog.nef", "dog.mask0.png", "cat.nef", "cat.mask0.png")
    assert "dog.jpg, dog.nef" in str(found.pictures[0].masks_fault)
    assert left_out(found, tmp_path / "t")["cat.mask0.png"] == "mask of no picture"


def test_another_case_or_unicode_form_is_taken_where_it_is_the_only_one_and_said(tmp_path: Path) -> None:
    accented = unicodedata.normalize("NFD", "Zoë")
    found = census(tmp_path, "IMG.JPG", "img.mask0.png", f"{accented}.jpg", "zoë.mask0.png")
    assert masks(found, tmp_path) == {"IMG.JPG": ["img.mask0.png"], f"{accented}.jpg": ["zoë.mask0.png"]}
    assert any("in another case or Unicode form, and count as its own: 2" in remark for remark in found.remarks)
    found = census(tmp_path / "two", "IMG.JPG", "Img.jpg", "img.mask0.png")
    assert all("any of 2 pictures" in str(picked.masks_fault) for picked in found.pictures)


@pytest.mark.parametrize("name", ["boatt.mask0.png", "photo.jpeg.mask0.png"])
def test_a_mask_of_no_picture_is_told(tmp_path: Path, name: str) -> None:
    found = census(tmp_path, "boat.jpg", "photo.jpg", name)
    assert left_out(found, tmp_path) == {name: "mask of no picture"}


def test_what_only_looks_like_a_mask_is_no_scene_and_is_told(tmp_path: Path) -> None:
    names = ("mask.png", "photo.mask0.jpg", "photo_mask0.png", "photoMask.png", "MASK_01.tif", "masks.webp")
    found = census(tmp_path, "photo.jpg", "masquerade.jpg", "unmasked.jpg", *names)
    assert set(masks(found, tmp_path)) == {"photo.jpg", "masquerade.jpg", "unmasked.jpg"}
    assert left_out(found, tmp_path) == dict.fromkeys(names, "looks like a mask")
    remedies = {Path(line.uri).name: str(line.detail).rpartition("; ")[2] for line in found.lines}
    assert remedies["photo_mask0.png"] == "rename it"
    assert remedies["photo.mask0.jpg"] == "save it as a PNG of such a name", "a JPEG that is only renamed is unreadable"


def test_plain_masks_of_a_picture_that_has_named_ones_are_told(tmp_path: Path) -> None:
    found = census(tmp_path, "s/a.jpg", "s/a.mask0.png", "s/mask0.png", "empty/mask0.png")
    assert masks(found, tmp_path) == {"s/a.jpg": ["s/a.mask0.png"]}
    assert left_out(found, tmp_path) == dict.fromkeys(["s/mask0.png", "empty/mask0.png"], "mask of no picture")


def test_links_count_as_the_files_that_they_lead_to(tmp_path: Path) -> None:
    census(tmp_path, "s/a.jpg", "elsewhere/real.bin")
    (tmp_path / "s/b.jpg").symlink_to(tmp_path / "s/a.jpg")
    (tmp_path / "s/mask0.png").symlink_to(tmp_path / "elsewhere/real.bin")
    found = census(tmp_path)
    assert all("any of 2 pictures (a.jpg, b.jpg)" in str(picked.masks_fault) for picked in found.pictures)
    (tmp_path / "s/b.jpg").unlink()
    assert masks(census(tmp_path), tmp_path) == {"s/a.jpg": ["s/mask0.png"]}


def test_masks_of_pictures_named_by_a_glob_are_found(tmp_path: Path) -> None:
    census(tmp_path, "a.jpg", "b.jpg", "a.mask0.png", "c.png")
    spec = JobSpec.model_validate({"source": {"uri": f"{tmp_path}/*.jpg", "masks": "beside"}, "output": "out"})
    assert masks(take_census(spec), tmp_path) == {"a.jpg": ["a.mask0.png"], "b.jpg": []}


def test_masks_of_pictures_beyond_the_limit_go_with_them(tmp_path: Path) -> None:
    census(tmp_path, "a/img.jpg", "a/mask0.png", "b/img.jpg", "b/mask0.png", "c.jpg", "c.mask0.png", "d.mask0.png")
    spec = JobSpec.model_validate({"source": {"uri": str(tmp_path), "masks": "beside", "limit": 1}, "output": "out"})
    found = take_census(spec)
    assert masks(found, tmp_path) == {"a/img.jpg": ["a/mask0.png"]}
    beyond = dict.fromkeys(["b/img.jpg", "b/mask0.png", "c.jpg", "c.mask0.png"], "beyond source.limit")
    assert left_out(found, tmp_path) == {**beyond, "d.mask0.png": "mask of no picture"}


@pytest.mark.parametrize("uri", ["*.jpg", "dog.jpg"])
def test_pictures_that_were_not_named_may_own_a_mask(tmp_path: Path, uri: str) -> None:
    census(tmp_path, "dog.jpg", "dog.png", "dog.mask0.png", "mask0.png", "notes.txt")
    spec = JobSpec.model_validate({"source": {"uri": f"{tmp_path}/{uri}", "masks": "beside"}, "output": "out"})
    (picked,) = take_census(spec).pictures
    assert picked.masks == ()
    assert "could belong to any of 2 pictures (dog.jpg, dog.png)" in str(picked.masks_fault)

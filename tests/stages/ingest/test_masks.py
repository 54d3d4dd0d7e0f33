"""Masks that come with the pictures: files beside them in every mode, and COCO's JSON."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from schemas.errors import SpecError
from schemas.job import Ingest, Source
from stages.ingest.decode import Picture
from stages.ingest.faults import MasksAmbiguous, MaskUnreadable
from stages.ingest.given_masks.beside import MasksBeside
from stages.ingest.given_masks.coco import MasksCoco
from stages.ingest.given_masks.given_mask import GivenMask, decode_mask_file

WIDTH, HEIGHT = 60, 40
PICTURE = Picture(Image.new("RGB", (WIDTH, HEIGHT)), "PNG")
INSIDE = np.zeros((HEIGHT, WIDTH), bool)
INSIDE[10:30, 20:50] = True


def encoded(image: Image.Image, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", **options)
    return out.getvalue()


def grey(inside: int = 255, outside: int = 0) -> Image.Image:
    return Image.fromarray(np.where(INSIDE, inside, outside).astype(np.uint8))


def colours(inside: tuple[int, ...], outside: tuple[int, ...]) -> Image.Image:
    return Image.fromarray(np.where(INSIDE[..., None], inside, outside).astype(np.uint8))


def palette(index: int, colour: tuple[int, int, int]) -> Image.Image:
    image = Image.fromarray(np.where(INSIDE, index, 0).astype(np.uint8)).convert("P")
    image.putpalette([0, 0, 0] + [0] * (3 * index - 3) + list(colour))
    return image


def inside_of(mask: GivenMask) -> np.ndarray:
    assert mask.image.mode == "L"
    return np.asarray(mask.image) > 127


@pytest.mark.parametrize(
    "image",
    [
        grey(),
        grey(200, 30),
        grey(1),
        grey().convert("1"),
        Image.fromarray(np.where(INSIDE, 65535, 0).astype(np.uint16)),
        Image.fromarray(INSIDE.astype(np.uint16)),
        colours((0, 0, 255), (0, 0, 0)),
        colours((200, 10, 10), (100, 100, 100)),
        colours((1, 1, 1), (0, 0, 0)),
        colours((255, 255, 255, 255), (0, 0, 0, 255)),
        colours((0, 0, 0, 255), (0, 0, 0, 0)),
        colours((90, 20, 30, 255), (255, 255, 255, 0)),
        colours((0, 255), (255, 0)),
        palette(3, (128, 0, 0)),
    ],
    ids=[
        "L",
        "L soft",
        "L of 0 and 1",
        "1",
        "16 bit",
        "16 bit of 0 and 1",
        "one channel",
        "RGB over half",
        "RGB of 0 and 1",
        "RGBA opaque",
        "black cut-out",
        "cut-out of a picture",
        "LA",
        "palette",
    ],
)
def test_masks_of_any_mode_mean_the_same(image: Image.Image) -> None:
    assert np.array_equal(inside_of(decode_mask_file(encoded(image), "mask0.png", 10**6)), INSIDE)


def test_an_all_clear_mask_is_empty_and_soft_edges_survive() -> None:
    assert not inside_of(decode_mask_file(encoded(colours((255, 255, 255, 0), (9, 9, 9, 0))), "m", 10**6)).any()
    assert set(np.unique(np.asarray(decode_mask_file(encoded(grey(90)), "m", 10**6).image))) == {0, 90}


def test_a_damaged_or_huge_mask_is_named() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8))
    for data in (b"", b"text", encoded(noise)[:2000]):
        with pytest.raises(MaskUnreadable, match=r"mask7\.png"):
            decode_mask_file(data, "mask7.png", 10**6)
    with pytest.raises(MaskUnreadable, match="max_pixels"):
        decode_mask_file(encoded(noise), "mask7.png", 4000)


def beside(folder: Path) -> MasksBeside:
    return MasksBeside(Source(uri=str(folder), masks="beside"), Ingest())


def put(path: Path, inside: int = 255) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(grey(inside) if "mask" in path.name.lower() else PICTURE.image))
    return str(path)


def test_numbers_order_masks_and_may_have_gaps(tmp_path: Path) -> None:
    picture = put(tmp_path / "s/img.png")
    for number in (10, 0, 3):
        put(tmp_path / f"s/mask{number}.png")
    names = [mask.name for mask in beside(tmp_path).masks_of(picture, PICTURE)]
    assert names == ["mask0.png", "mask3.png", "mask10.png"]


def test_masks_by_stem_belong_to_their_picture_alone(tmp_path: Path) -> None:
    first, second, third = (put(tmp_path / name) for name in ("a.png", "a.b.png", "c.png"))
    put(tmp_path / "a.mask1.png")
    put(tmp_path / "a.b.MASK0.PNG")
    found = beside(tmp_path)
    assert [mask.name for mask in found.masks_of(first, PICTURE)] == ["a.mask1.png"]
    assert [mask.name for mask in found.masks_of(second, PICTURE)] == ["a.b.MASK0.PNG"]
    assert found.masks_of(third, PICTURE) == []


def test_plain_masks_beside_several_pictures_are_ambiguous(tmp_path: Path) -> None:
    first, second = put(tmp_path / "a.png"), put(tmp_path / "b.png")
    put(tmp_path / "mask0.png")
    put(tmp_path / "b.mask0.png")
    found = beside(tmp_path)
    with pytest.raises(MasksAmbiguous, match=r"any of 2 pictures; name them a\.mask0\.png"):
        found.masks_of(first, PICTURE)
    assert [mask.name for mask in found.masks_of(second, PICTURE)] == ["b.mask0.png"]


POLYGON = [20.0, 10.0, 50.0, 10.0, 50.0, 30.0, 20.0, 30.0]


def runs(mask: np.ndarray) -> list[int]:
    """COCO's uncompressed counts: lengths of runs in column order, zeros first."""
    flat = np.concatenate([[0], mask.ravel(order="F").astype(int)])
    edges = np.flatnonzero(np.diff(flat)) if mask.any() else np.array([], int)
    return np.diff(np.concatenate([[0], edges, [mask.size]])).tolist()


def compressed(mask: np.ndarray) -> dict[str, Any]:
    rle = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(n) for n in rle["size"]], "counts": rle["counts"].decode()}


def coco_masks(folder: Path, segmentations: dict[str, list[Any]], **instead: Any) -> MasksCoco:
    """segmentations: file_name -> segmentations (or whole annotations), all of category 7, `sheep`."""
    annotations = []
    for number, found in enumerate(segmentations.values()):
        for item in found:
            whole = item if isinstance(item, dict) and "segmentation" in item else {"segmentation": item}
            annotations.append({"id": len(annotations), "image_id": number, "category_id": 7, "iscrowd": 0, **whole})
    document = {
        "images": [
            {"id": n, "file_name": name, "width": WIDTH, "height": HEIGHT} for n, name in enumerate(segmentations)
        ],
        "annotations": annotations,
        "categories": [{"id": 7, "name": "sheep"}],
        **instead,
    }
    (folder / "instances.json").write_text(json.dumps(document))
    return MasksCoco(Source(uri=str(folder), masks="coco", coco=str(folder / "instances.json")), Ingest())


def test_polygons_and_both_kinds_of_rle_draw_the_same_mask(tmp_path: Path) -> None:
    halves = [[20, 10, 35, 10, 35, 30, 20, 30], [35, 10, 50, 10, 50, 30, 35, 30], [1, 1, 2, 2]]
    plain = {"size": [HEIGHT, WIDTH], "counts": runs(INSIDE)}
    found = coco_masks(tmp_path, {"a.png": [[POLYGON], halves, plain, compressed(INSIDE)]})
    masks = found.masks_of(str(tmp_path / "a.png"), PICTURE)
    assert [mask.word for mask in masks] == ["sheep"] * 4
    for mask in masks:
        assert np.array_equal(inside_of(mask), INSIDE), mask.name


def test_crowds_and_annotations_without_masks_are_left_out(tmp_path: Path) -> None:
    items = [
        {"segmentation": compressed(INSIDE), "iscrowd": 1},
        {"segmentation": []},
        {"segmentation": None},
        {"segmentation": [POLYGON], "category_id": 99},
    ]
    masks = coco_masks(tmp_path, {"a.png": items}).masks_of(str(tmp_path / "a.png"), PICTURE)
    assert [mask.word for mask in masks] == [None], "an unknown category has no word"


def test_entries_are_found_by_relative_path_then_by_unique_name(tmp_path: Path) -> None:
    found = coco_masks(
        tmp_path,
        {"x/1.png": [[POLYGON]], "y/1.png": [[POLYGON], [POLYGON]], "train/2.png": [[POLYGON]], "empty.png": []},
    )

    def count(name: str) -> int:
        return len(found.masks_of(str(tmp_path / name), PICTURE))

    assert (count("x/1.png"), count("y/1.png")) == (1, 2)
    assert count("elsewhere/2.png") == 1
    assert count("empty.png") == count("unknown.png") == 0
    with pytest.raises(MasksAmbiguous, match=r"2 images called 1\.png and none at z/1\.png"):
        count("z/1.png")


@pytest.mark.parametrize(
    "segmentation",
    [
        {"size": [HEIGHT, WIDTH], "counts": "!!nonsense"},
        compressed(np.ones((5, 5))),
        {"counts": [1, 2]},
        {"size": [HEIGHT, WIDTH], "counts": [5, 10**9]},
        {"size": [HEIGHT, WIDTH], "counts": None},
    ],
)
def test_damaged_annotations_are_named(tmp_path: Path, segmentation: dict[str, Any]) -> None:
    found = coco_masks(tmp_path, {"a.png": [[POLYGON], segmentation]})
    with pytest.raises(MaskUnreadable, match="COCO annotation 1 cannot be drawn"):
        found.masks_of(str(tmp_path / "a.png"), PICTURE)


def test_an_entry_of_absurd_size_is_refused(tmp_path: Path) -> None:
    found = coco_masks(tmp_path, {}, images=[{"id": 0, "file_name": "a.png", "width": 10**6, "height": 10**6}])
    with pytest.raises(MaskUnreadable, match="max_pixels"):
        found.masks_of(str(tmp_path / "a.png"), PICTURE)


@pytest.mark.parametrize("text", ["[]", "{}", "not json", '{"images": [{}], "annotations": []}'])
def test_a_json_of_something_else_stops_the_job(tmp_path: Path, text: str) -> None:
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(SpecError, match=r"source\.coco: .*other\.json is not a COCO instances JSON"):
        MasksCoco(Source(uri=str(tmp_path), masks="coco", coco=str(tmp_path / "other.json")), Ingest())


def test_a_json_that_is_not_there_stops_the_job(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"source\.coco: cannot read .*gone\.json"):
        MasksCoco(Source(uri=str(tmp_path), masks="coco", coco=str(tmp_path / "gone.json")), Ingest())

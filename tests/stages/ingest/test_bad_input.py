"""Every kind of bad input ends as the row that is expected of it, and its neighbours are none the worse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.ledger.plan import content_of
from schemas.job import JobSpec
from schemas.outcomes import SceneOutput, SceneTask
from schemas.records import FAILURES, SCENES
from stages.ingest.census import read_picked, take_census
from stages.ingest.stage import IngestStage
from stages.stage import StageContext
from tests.support.bad_input import BOX_SHAPE, MOST_BYTES, bad_masks, bad_pictures, bad_shapes
from tests.support.one_of_everything import HEIGHT, WIDTH, disc, encoded, mask, picture

Expected = dict[str, tuple[str, str]]
"""Kind -> class of the failure, and words of its message."""

NO_PICTURE = ("NotAPicture", "not a picture, or one cut short")
CLAIMS = ("PictureTooLarge", "more than ingest.max_pixels_per_byte (10000) for each; replace the file, or raise")
UNFIT = "which is no number"

PICTURES: Expected = {
    "empty": ("FileEmpty", "the file has zero bytes; copy it again"),
    "text": NO_PICTURE,
    "page": NO_PICTURE,
    "json": NO_PICTURE,
    "error of a store": NO_PICTURE,
    "pointer of git lfs": NO_PICTURE,
    "pdf": NO_PICTURE,
    "drawing": NO_PICTURE,
    "postscript": NO_PICTURE,
    "portable map": NO_PICTURE,
    "targa": NO_PICTURE,
    "icon": NO_PICTURE,
    "archive": NO_PICTURE,
    "gzip": NO_PICTURE,
    "film": NO_PICTURE,
    "program": NO_PICTURE,
    "nothing but zeros": NO_PICTURE,
    "noise": NO_PICTURE,
    "pickle": NO_PICTURE,
    "jpeg of two bytes": NO_PICTURE,
    "jpeg without its end": ("PictureBroken", "the JPEG cannot be decoded: image file is truncated"),
    "jpeg without its tables": NO_PICTURE,
    "jpeg of no size": NO_PICTURE,
    "jpeg that claims": CLAIMS,
    "png of eight bytes": NO_PICTURE,
    "png without its end": ("PictureBroken", "the PNG cannot be decoded: image file is truncated"),
    "png of a wrong sum": NO_PICTURE,
    "png of no size": NO_PICTURE,
    "png without pixels": ("PictureBroken", "the PNG cannot be decoded: cannot load this image"),
    "png of no deflate": ("PictureBroken", "the PNG cannot be decoded: broken data stream"),
    "png of unknown colours": NO_PICTURE,
    "png of too few pixels": ("PictureBroken", "the PNG cannot be decoded: image file is truncated"),
    "png that claims": CLAIMS,
    "png beyond the limit": ("PictureTooLarge", "60000x60000 pixels are more than ingest.max_pixels (100000000)"),
    "gif without its end": ("PictureBroken", "the GIF cannot be decoded: image file is truncated"),
    "gif that claims": CLAIMS,
    "tiff without its end": NO_PICTURE,
    "tiff that points outside": NO_PICTURE,
    "tiff that claims": CLAIMS,
    "bmp without its end": ("PictureBroken", "the BMP cannot be decoded: image file is truncated"),
    "bmp that claims": CLAIMS,
    "webp without its end": NO_PICTURE,
    "webp that claims": CLAIMS,
    "lossless webp that claims": CLAIMS,
    "lossy webp that claims": CLAIMS,
    "webp of a large canvas": CLAIMS,
    "tiny": ("PictureTooSmall", "8x8 pixels: a side is shorter than ingest.min_side (16)"),
    "thin": ("PictureTooSmall", "900x3 pixels"),
    "too many bytes": ("FileUnreadable", "max_bytes (200000) when the plan was made; raise that if the file is meant"),
}
MASKS: Expected = {
    "empty": ("MaskUnreadable", "mask mask0.png: not a picture"),
    "text": ("MaskUnreadable", "mask mask0.png: not a picture"),
    "jpeg": ("MaskUnreadable", "mask mask0.png: it is a JPEG, whatever its name says; save it as PNG, which loses"),
    "without its end": ("MaskUnreadable", "mask mask0.png cannot be decoded: image file is truncated"),
    "other shape": ("MaskMisfit", "mask0.png is 50x64, its picture 96x64"),
    "black": ("MasksEmpty", "none of its masks shows enough inside the square: mask0.png (empty: no pixel"),
    "animation": ("MaskUnreadable", "it is an animation of 2 frames; save one mask a file"),
    "photograph": ("MaskUnreadable", "it is a photograph and not a mask"),
    "labels on no ground": ("MaskUnreadable", "the ground cannot be told from the things"),
    "claims": ("MaskUnreadable", CLAIMS[1]),
    "beyond the limit": ("MaskUnreadable", "more than ingest.max_pixels (100000000)"),
    "too many bytes": ("FileUnreadable", "max_bytes (200000) when the plan was made; raise that if the file is meant"),
}
SHAPES: dict[str, str] = {
    "null among numbers": f"coordinate 3 of polygon 1 is null, {UNFIT}",
    "true among numbers": f"coordinate 3 of polygon 1 is true, {UNFIT}",
    "text among numbers": f"coordinate 3 of polygon 1 is '10', {UNFIT}",
    "object among numbers": f"coordinate 3 of polygon 1 is an object, {UNFIT}",
    "odd count": "polygon 1 has 7 numbers, which do not make pairs",
    "two points": "its polygons have fewer than 3 points",
    "far": "coordinate 3 of polygon 1 is 1e+09, beyond the picture",
    "very far": "coordinate 3 of polygon 1 is 1e+30, beyond the picture",
    "as far as there is": "coordinate 3 of polygon 1 is -1.7e+308, beyond the picture",
    "infinite": "coordinate 3 of polygon 1 is inf, which is no finite number",
    "minus infinite": "coordinate 3 of polygon 1 is -inf, which is no finite number",
    "no number": "coordinate 3 of polygon 1 is nan, which is no finite number",
    "a number of 400 digits": "which is no finite number",
    "shares": "looks like shares of the picture",
    "a text": "its segmentation is 'a polygon', neither polygons nor run lengths",
    "a number": "its segmentation is 7, neither polygons nor run lengths",
    "mixed": "polygon 2 is 7, not a list of numbers",
    "an outline without end": "its outline is 3840000 pixels long",
    "runs too short": "its runs are of 200 pixels, for a picture of 6144",
    "runs too long": "its runs are of 6145 pixels, for a picture of 6144",
    "negative run": "run 1 is -5, which is no number of pixels",
    "half a run": "run 1 is 0.5, which is no number of pixels",
    "runs of another size": "its size [96, 64] is not the image's [height, width] [64, 96]",
    "runs of no size": "its size is not [height, width] in pixels",
    "runs of a size beyond": "its size is not [height, width] in pixels",
    "runs without counts": "without the `size` and `counts` of run lengths",
    "counts cut short": "its compressed counts are cut short",
    "counts of no such text": "hold characters that compressed run lengths do not have",
    "counts of endless numbers": "a run that is longer than any picture",
}
GOOD = "good"


def ingested(folder: Path, source: dict[str, Any], tmp_path: Path) -> dict[str, SceneOutput]:
    """Name of the file, or of its folder, without a suffix -> what the stage makes of it."""
    tree = {"source": {"uri": str(folder), **source}, "output": str(tmp_path / "out")}
    spec = JobSpec.model_validate({**tree, "ingest": {"max_bytes": MOST_BYTES}})
    stage = IngestStage(spec, StageContext("memory://shared"))
    stage.prepare()
    stage.setup()
    rows = [content_of(read_picked(picked, spec)) for picked in take_census(spec).pictures]
    made = list(stage.process([SceneTask(row["scene_id"], {"plan": [row]}) for row in rows]))
    pa.Table.from_pylist([row for output in made for row in output.rows], schema=SCENES)
    pa.Table.from_pylist([output.failure.row("ingest") for output in made if output.failure], schema=FAILURES)
    places = [Path(row["uri"]) for row in rows]
    names = [place.parent.name if place.parent != folder else place.stem for place in places]
    return dict(zip(names, made, strict=True))


def check(found: dict[str, SceneOutput], expected: Expected) -> None:
    assert found.pop(GOOD).failure is None
    assert set(found) == set(expected)
    told = {name: (made.failure.error, made.failure.message) for name, made in found.items() if made.failure}
    wrong = {
        name: told.get(name)
        for name, (error, words) in expected.items()
        if name not in told or told[name][0] != error or words not in told[name][1]
    }
    assert not wrong
    for name, made in found.items():
        assert [(row["status"], row["error"]) for row in made.rows] == [("failed", told[name][1])]
        assert not made.files


def test_there_are_many_kinds() -> None:
    assert len(PICTURES) + len(MASKS) + len(SHAPES) >= 60


def test_bad_pictures(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for kind, data in {**bad_pictures(), GOOD: encoded(picture(0), "JPEG")}.items():
        (folder / f"{kind}.jpg").write_bytes(data)
    check(ingested(folder, {}, tmp_path), PICTURES)


def test_bad_masks(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for number, (kind, data) in enumerate({**bad_masks(), GOOD: encoded(mask(disc()), "PNG")}.items()):
        (folder / kind).mkdir(parents=True)
        (folder / kind / "p.png").write_bytes(encoded(picture(number), "PNG"))
        (folder / kind / "mask0.png").write_bytes(data)
    check(ingested(folder, {"masks": "beside"}, tmp_path), MASKS)


@pytest.mark.parametrize("stated", [True, False], ids=["size stated", "size of the picture"])
def test_bad_shapes(tmp_path: Path, stated: bool) -> None:
    folder, images, rows = tmp_path / "in", [], []
    folder.mkdir()
    size = {"width": WIDTH, "height": HEIGHT} if stated else {}
    for id, (kind, shape) in enumerate({**bad_shapes(), GOOD: json.dumps([BOX_SHAPE])}.items(), 1):
        (folder / f"{kind}.png").write_bytes(encoded(picture(id), "PNG"))
        images.append({"id": id, "file_name": f"{kind}.png", **size})
        rows.append(f'{{"id": {id}, "image_id": {id}, "category_id": 1, "segmentation": {shape}}}')
    text = f'{{"images": {json.dumps(images)}, "categories": [], "annotations": [{", ".join(rows)}]}}'
    (tmp_path / "instances.json").write_text(text)
    source = {"masks": "coco", "coco": str(tmp_path / "instances.json")}
    expected = {kind: ("MaskUnreadable", words) for kind, words in SHAPES.items()}
    if not stated:  # run lengths bring their own size, which need not be the picture's
        expected["runs of another size"] = ("MaskMisfit", "another shape")
    check(ingested(folder, source, tmp_path), expected)

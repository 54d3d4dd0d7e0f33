"""The ingest stage through the Stage protocol: from planned files to rows and members of the tar."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from pipeline.ledger.plan import content_of
from schemas.job import JobSpec
from schemas.outcomes import SceneOutput, SceneTask
from schemas.records import FAILURES, PLAN, SCENES, scene_id_of
from stages.ingest.census import read_picked, take_census
from stages.ingest.stage import IngestStage
from stages.models.base.layout import PARTS
from stages.stage import StageContext

SIDE = 64
MakeStage = Callable[..., IngestStage]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """The configs of a base model whose pictures are 64 x 64: 16 latent cells, a VAE of factor 4."""
    folder = tmp_path / "base"
    files = {
        "model_index.json": {part: ["x", "y"] for part in PARTS},
        "unet/config.json": {"sample_size": 16},
        "vae/config.json": {"block_out_channels": [8, 8, 8]},
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    return folder


@pytest.fixture
def make(tmp_path: Path, base: Path) -> MakeStage:
    (tmp_path / "in").mkdir()

    def made(source: dict[str, Any] | None = None, **ingest: Any) -> IngestStage:
        spec = JobSpec.model_validate(
            {
                "source": {"uri": str(tmp_path / "in"), **(source or {})},
                "output": "out",
                "models": {"base": str(base)},
                "ingest": ingest,
            }
        )
        stage = IngestStage(spec, StageContext("memory://shared"))
        stage.prepare()
        stage.setup()
        return stage

    return made


def task_of(path: Path, **plan: Any) -> SceneTask:
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    row = {
        "shard": 0,
        "position": 0,
        "uri": str(path),
        "scene_id": scene_id_of(digest),
        "sha256": digest,
        "bytes": len(data),
        "duplicate_of": None,
        "error": None,
        **plan,
    }
    pa.Table.from_pylist([row], schema=PLAN)
    return SceneTask(row["scene_id"], {"plan": [row]})


def photo(width: int, height: int, box: tuple[int, int, int, int]) -> Image.Image:
    pixels = np.full((height, width, 3), 60, np.uint8)
    pixels[box[1] : box[3], box[0] : box[2]] = (250, 40, 40)
    return Image.fromarray(pixels)


def save(path: Path, image: Image.Image, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def mask(width: int, height: int, box: tuple[int, int, int, int]) -> Image.Image:
    return Image.fromarray((np.asarray(photo(width, height, box))[..., 0] > 100).astype(np.uint8) * 255)


def only(stage: IngestStage, task: SceneTask) -> tuple[SceneOutput, dict[str, Any]]:
    """The output, and its row after a round trip through the Arrow schema. The plan row gets the masks that the census
    of the source gives it."""
    spec, planned = stage._spec, task.rows["plan"][0]
    if spec.source.masks != "none":
        picked = next(picked for picked in take_census(spec).pictures if picked.uri == planned["uri"])
        planned.update({**content_of(read_picked(picked, spec)), **{k: v for k, v in planned.items() if v}})
    outputs = list(stage.process([task]))
    assert [output.scene_id for output in outputs] == [task.scene_id]
    assert len(outputs[0].rows) == 1
    assert set(outputs[0].rows[0]) == set(SCENES.names)
    row: dict[str, Any] = pa.Table.from_pylist(outputs[0].rows, schema=SCENES).to_pylist()[0]
    return outputs[0], row


def test_a_picture_becomes_a_square_of_the_base_models_side(make: MakeStage, tmp_path: Path) -> None:
    path = save(tmp_path / "in/a.jpg", photo(200, 100, (80, 30, 120, 60)))
    output, row = only(make(), task_of(path))
    assert output.failure is None
    assert {k: row[k] for k in ("status", "error", "format", "width", "height", "side", "box", "words")} == {
        "status": "ok",
        "error": None,
        "format": "JPEG",
        "width": 200,
        "height": 100,
        "side": SIDE,
        "box": [50, 0, 150, 100],
        "words": [],
    }
    assert list(output.files) == [f"{output.scene_id}.png"]
    image = Image.open(io.BytesIO(output.files[f"{output.scene_id}.png"]))
    assert (image.format, image.mode, image.size) == ("PNG", "RGB", (SIDE, SIDE))
    assert np.asarray(image)[28, 32, 0] > 200


@pytest.mark.parametrize("square", ["crop", "pad"])
def test_turned_pictures_keep_their_masks(make: MakeStage, tmp_path: Path, square: str) -> None:
    """A phone's portrait: pixels stored lying down, EXIF 6, masks drawn on the stored pixels, two numbers missing."""
    box = (70, 20, 120, 60)
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "in/s/img.jpg", photo(200, 120, box), exif=exif, quality=95)
    save(tmp_path / "in/s/mask4.png", mask(200, 120, (70, 20, 90, 60)))
    save(tmp_path / "in/s/mask2.png", mask(200, 120, box))
    output, row = only(make({"masks": "beside"}, square=square), task_of(path))
    assert (row["width"], row["height"], row["words"]) == (120, 200, [None, None])
    key = output.scene_id
    assert list(output.files) == [f"{key}.png", f"{key}.mask0.png", f"{key}.mask1.png"]
    picture, first, second = (np.asarray(Image.open(io.BytesIO(data))).astype(int) for data in output.files.values())
    assert set(np.unique(first)) == {0, 255}
    assert first.shape == (SIDE, SIDE)
    red = (picture[..., 0] > 155) & (picture[..., 1] < 90)
    assert (red & (first > 0)).sum() / (red | (first > 0)).sum() > 0.85
    assert second.sum() < 0.6 * first.sum(), "mask2 comes before mask4"


def reds_under_masks(output: SceneOutput) -> list[float]:
    """For each mask of the scene, which share of it lies on red."""
    picture, *masks = (np.asarray(Image.open(io.BytesIO(data))).astype(int) for data in output.files.values())
    red = (picture[..., 0] > 155) & (picture[..., 1] < 90)
    return [float(red[covered > 0].mean()) for covered in masks]


def test_a_mask_saved_with_its_pictures_half_turn_is_turned_once(make: MakeStage, tmp_path: Path) -> None:
    box = (10, 10, 40, 40)
    exif = Image.Exif()
    exif[0x0112] = 3
    path = save(tmp_path / "in/img.jpg", photo(100, 100, box), exif=exif, quality=95)
    save(tmp_path / "in/img.mask0.png", mask(100, 100, box), exif=exif)
    output, _ = only(make({"masks": "beside"}), task_of(path))
    assert reds_under_masks(output)[0] > 0.9


@pytest.mark.parametrize("kind", ["beside", "coco"])
def test_masks_of_a_picture_of_a_half_turn_follow_the_spec_or_fail(make: MakeStage, tmp_path: Path, kind: str) -> None:
    stored, shown = (10, 10, 40, 40), (60, 60, 90, 90)
    exif = Image.Exif()
    exif[0x0112] = 3
    path = save(tmp_path / "in/img.jpg", photo(100, 100, stored), exif=exif, quality=95)
    source: dict[str, Any] = {"masks": kind}
    for drawn_on, box in (("auto", shown), ("shown", shown), ("stored", stored)):
        if kind == "beside":
            save(tmp_path / "in/img.mask0.png", mask(100, 100, box))
        else:
            x0, y0, x1, y1 = box
            document = {
                "images": [{"id": 1, "file_name": "img.jpg", "width": 100, "height": 100}],
                "categories": [],
                "annotations": [{"id": 5, "image_id": 1, "segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]]}],
            }
            source["coco"] = str(tmp_path / f"{drawn_on}.json")
            Path(source["coco"]).write_text(json.dumps(document))
        output, row = only(make({**source, "masks_drawn_on": drawn_on}), task_of(path))
        if drawn_on == "auto":
            assert output.failure is not None
            assert output.failure.error == "MasksAmbiguous"
            assert "source.masks_drawn_on" in row["error"]
        else:
            assert reds_under_masks(output)[0] > 0.9


def test_masks_that_the_crop_leaves_empty_go_with_their_words(make: MakeStage, tmp_path: Path) -> None:
    path = save(tmp_path / "in/a.png", photo(200, 100, (80, 30, 120, 60)))
    square = [[80, 30, 120, 30, 120, 60, 80, 60]]
    corner = [[0, 0, 30, 0, 30, 30, 0, 30]]
    document = {
        "images": [{"id": 1, "file_name": "a.png", "width": 200, "height": 100}],
        "categories": [{"id": 1, "name": "tree"}, {"id": 2, "name": "ball"}],
        "annotations": [
            {"id": 5, "image_id": 1, "category_id": 1, "segmentation": corner},
            {"id": 6, "image_id": 1, "category_id": 2, "segmentation": square, "iscrowd": 1},
        ],
    }
    annotations = tmp_path / "instances.json"
    annotations.write_text(json.dumps(document))
    coco = {"masks": "coco", "coco": str(annotations)}
    output, row = only(make(coco), task_of(path))
    assert row["words"] == ["ball"]
    assert [(mask["number"], mask["crowd"]) for mask in row["masks"]] == [(None, False), (0, True)]
    assert len(output.files) == 2
    assert only(make(coco, square="pad"), task_of(path))[1]["words"] == ["tree", "ball"]

    document["annotations"] = document["annotations"][:1]
    annotations = tmp_path / "corner.json"
    annotations.write_text(json.dumps(document))
    output, row = only(make({"masks": "coco", "coco": str(annotations)}), task_of(path))
    assert row["status"] == "failed"
    assert output.failure is not None
    assert output.failure.error == "MasksEmpty"
    assert "COCO annotation 5" in row["error"]
    assert not output.files


PAD = "outside the crop: too little of it is inside the square; use ingest.square: pad, or correct the mask"
LARGER = "too small: it covers less than 1/4096 of the square; draw it larger, or take it out"
NO_PIXEL = "empty: no pixel of it is inside; export it again, or take it out"


@pytest.mark.parametrize(
    ("size", "box", "reason"),
    [
        ((640, 640), (0, 0, 0, 0), NO_PIXEL),
        ((640, 640), (320, 320, 321, 321), LARGER),  # a square that nothing is cut from
        ((1280, 640), (640, 320, 641, 321), LARGER),  # in the middle, where the crop cuts nothing
        ((1280, 640), (0, 0, 1, 1), LARGER),  # cut off, and too small for the padded square too
        ((1280, 640), (0, 0, 160, 160), PAD),
        ((1280, 640), (160, 300, 321, 301), PAD),  # a pixel of it is inside
        ((640, 1280), (0, 0, 160, 160), PAD),
    ],
)
@pytest.mark.parametrize("scale", [1, 2])
def test_why_a_mask_is_not_in_the_square_and_what_helps(
    make: MakeStage, base: Path, tmp_path: Path, size: tuple[int, int], box: tuple[int, ...], reason: str, scale: int
) -> None:
    """`ingest.square: pad` is advised where it keeps the mask, and nowhere else. scale: of the mask to its picture."""
    (base / "unet/config.json").write_text(json.dumps({"sample_size": 80}))  # 25 pixels of the square are the least
    path = save(tmp_path / "in/a.png", photo(*size, (600, 300, 640, 340)))
    pixels = mask(*size, box)
    save(tmp_path / "in/a.mask0.png", pixels.resize((size[0] * scale, size[1] * scale), Image.Resampling.NEAREST))
    output, row = only(make({"masks": "beside"}), task_of(path))
    assert [one["reason"] for one in row["masks"]] == [reason]
    assert output.failure is not None
    assert output.failure.message == f"none of its masks shows enough inside the square: a.mask0.png ({reason})"
    padded, _ = only(make({"masks": "beside"}, square="pad"), task_of(path))
    assert (padded.failure is None) == (reason == PAD)


def test_a_scene_without_a_mask_says_of_each_why(make: MakeStage, tmp_path: Path) -> None:
    path = save(tmp_path / "in/a.png", photo(200, 100, (80, 30, 120, 60)))
    for number, box in enumerate([(0, 0, 0, 0), (0, 0, 30, 30), (0, 0, 0, 0)]):
        save(tmp_path / f"in/a.mask{number}.png", mask(200, 100, box))
    _, row = only(make({"masks": "beside"}), task_of(path))
    assert row["error"].endswith(f": a.mask0.png, a.mask2.png ({NO_PIXEL}), a.mask1.png ({PAD})")


def bad_files(folder: Path) -> dict[str, tuple[SceneTask, str]]:
    """name -> (task, class of the failure)."""
    good = save(folder / "good.png", photo(100, 100, (10, 10, 50, 50)))
    (folder / "cut.png").write_bytes(good.read_bytes()[:120])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_bytes(b"no picture at all")
    save(folder / "thin.png", photo(100, 9, (10, 1, 50, 5)))
    save(folder / "wide.png", photo(500, 500, (10, 1, 50, 5)))
    rng = np.random.default_rng(0)
    save(folder / "heavy.png", Image.fromarray(rng.integers(0, 255, (99, 99, 3), dtype=np.uint8)))
    save(folder / "gone.png", photo(101, 100, (10, 10, 50, 50)))
    gone = task_of(folder / "gone.png")
    (folder / "gone.png").unlink()
    return {
        "cut": (task_of(folder / "cut.png"), "PictureBroken"),
        "empty": (task_of(folder / "empty.jpg"), "FileEmpty"),
        "text": (task_of(folder / "text.jpg"), "NotAPicture"),
        "thin": (task_of(folder / "thin.png"), "PictureTooSmall"),
        "wide": (task_of(folder / "wide.png"), "PictureTooLarge"),
        "heavy": (task_of(folder / "heavy.png"), "FileTooLarge"),
        "lies about its size": (task_of(folder / "heavy.png", bytes=5), "FileTooLarge"),
        "changed": (task_of(folder / "good.png", sha256="0" * 64), "FileChanged"),
        "gone": (gone, "FileUnreadable"),
        "never readable": (task_of(folder / "good.png", sha256=None, bytes=None, error="forbidden"), "FileUnreadable"),
    }


def test_every_bad_file_is_a_row_and_a_failure_and_costs_nobody_else(make: MakeStage, tmp_path: Path) -> None:
    cases = bad_files(tmp_path / "in")
    good = task_of(tmp_path / "in/good.png")
    tasks = [task for task, _ in cases.values()]
    outputs = list(make(max_pixels=200_000, max_bytes=20_000).process([*tasks, good]))
    assert [output.scene_id for output in outputs] == [task.scene_id for task in [*tasks, good]]
    for (name, (_, error)), output in zip(cases.items(), outputs, strict=False):
        assert output.failure is not None, name
        assert output.failure.error == error, (name, output.failure.message)
        assert not output.files
        row = pa.Table.from_pylist(output.rows, schema=SCENES).to_pylist()[0]
        assert row["status"] == "failed"
        assert row["error"] == output.failure.message
        assert "\n" not in row["error"]
        pa.Table.from_pylist([output.failure.row("ingest")], schema=FAILURES)
        assert output.failure.uri == row["uri"]
    assert outputs[-1].failure is None


def test_same_bytes_same_result(make: MakeStage, tmp_path: Path) -> None:
    path = save(tmp_path / "in/a.png", photo(301, 200, (80, 30, 120, 60)))
    copy = save(tmp_path / "in/deep/b.png", photo(301, 200, (80, 30, 120, 60)))
    first, second = (next(iter(make().process([task_of(p)]))) for p in (path, copy))
    assert first.files == second.files
    assert first.scene_id == second.scene_id

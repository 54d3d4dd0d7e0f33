"""The evaluate stage through the Stage protocol: tiny random judges, the bundled Segment Anything, drawn scenes."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from schemas.errors import SpecError
from schemas.job import JobSpec
from schemas.masks import decode_mask
from schemas.outcomes import SceneOutput, SceneTask
from schemas.records import SCORES
from stages.evaluate.stage import EvaluateStage
from stages.masks.shapes import bounding_box
from stages.masks.views import on_black
from stages.models.clip import load_clip
from stages.models.identity import load_identity
from stages.models.place import bundled
from stages.segment.stage import SegmentStage
from stages.stage import StageContext
from tests.stages.evaluate.test_judging import BLUE, GREEN, RED, SOURCE, canvas, png, source_task
from tests.support.tiny_judges import build_tiny_clip, build_tiny_dino

SEGMENT = {"points_per_side": 8, "pred_iou_thresh": 0.5, "stability_score_thresh": 0.4}
PICTURES = [
    canvas((GREEN, 6, 6, 16, 16), (RED, 40, 40, 18, 18)),
    canvas((RED, 20, 20, 24, 24)),
    canvas((RED, 20, 20, 24, 24)),
    SOURCE[:, ::-1],
    np.full((64, 64, 3), 90, np.uint8),
    canvas((BLUE, 8, 30, 20, 20)),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("judges")
    return {"clip": str(build_tiny_clip(folder / "clip")), "identity": str(build_tiny_dino(folder / "dino"))}


def made(folders: dict[str, str], **evaluate: Any) -> EvaluateStage:
    """Of judges that know nothing, so that what they find decides nothing unless it is asked for."""
    stage = EvaluateStage(
        JobSpec.model_validate(
            {
                "source": {"uri": "in"},
                "output": "out",
                "models": folders,
                "segment": SEGMENT,
                "evaluate": {"enabled": True, "concepts": "any", "found_at": 0.6, **evaluate},
            }
        ),
        StageContext("memory://none"),
    )
    stage.prepare()
    stage.setup()
    return stage


def task(scene_id: str = "s", form: str = "PNG") -> SceneTask:
    """Six variations of a scene with a red and a green concept: rows in no order, beside what else its tar holds."""
    found = source_task()
    rows = []
    for number, picture in enumerate(PICTURES):
        key, suffix = f"{scene_id}-{number:04d}", form.lower()
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, form)
        found.files |= {f"{number:04d}.{suffix}": buffer.getvalue(), f"{number:04d}.json": b"{}"}
        rows.append(
            {
                "key": key,
                "scene_id": scene_id,
                "prompt": "a photo of <asset0> and <asset1>",
                "text": "a photo of cat and dog",
                "concepts": [0, 1] if number != 5 else [1],
                "file": f"{key}.{suffix}",
            }
        )
    return SceneTask(scene_id, {**found.rows, "variations": rows[::-1]}, found.files)


@pytest.fixture(scope="module")
def output(folders: dict[str, str]) -> SceneOutput:
    (found,) = made(folders, batch=4).process([task()])
    assert found.failure is None, found.failure
    return found


def test_rows_and_files(output: SceneOutput) -> None:
    assert [row["key"] for row in output.rows] == [f"s-{number:04d}" for number in range(6)]
    assert all(set(row) == set(SCORES.names) for row in output.rows)
    table = pa.Table.from_pylist(output.rows, schema=SCORES)
    assert all(table.column(name).null_count == 0 for name in SCORES.names if name not in ("copy_of", "reason"))
    assert list(output.files) == [row[name] for row in output.rows for name in ("mask", "instance")]
    for row in output.rows:
        labels, ids = (np.asarray(Image.open(io.BytesIO(output.files[row[name]]))) for name in ("mask", "instance"))
        assert ids.shape == labels.shape
        assert [one["id"] for one in row["instances"]] == list(range(1, ids.max() + 1))
        assert all((labels[ids == one["id"]] == one["concept"] + 1).all() for one in row["instances"])
        assert ((ids > 0) == (labels > 0)).all()
        counted = [sum(one["concept"] == index for one in row["instances"]) for index in range(2)]
        assert row["found"] == counted
        assert [like is None for like in row["together"]] == [count < 2 for count in counted]
        assert labels.shape == (64, 64)
        assert set(np.unique(labels)) - {0} == {index + 1 for index, count in enumerate(row["found"]) if count}
        assert len(row["found"]) == 2
        assert len(row["identity"]) == len(row["words"]) == len(row["concepts"])
        assert row["found_at"] == 0.6
        for index, box, likeness in zip(row["concepts"], row["boxes"], row["likeness"], strict=True):
            there = labels == index + 1
            assert box == (list(bounding_box(there)) if there.any() else None)
            assert (likeness is None) == (box is None)
            assert likeness is None or 0.6 <= likeness <= 1.0001
        assert row["complete"] == all(row["found"][index] == 1 for index in row["concepts"])


def test_flat_and_repeated_pictures_are_dropped_and_say_why(output: SceneOutput) -> None:
    kinds = [(row["keep"], row["copy_of"], row["collapsed"]) for row in output.rows]
    assert kinds == [
        (True, None, False),
        (True, None, False),
        (False, "s-0001", False),
        (False, "source", False),
        (False, None, True),
        (True, None, False),
    ]
    assert [(row["reason"] or "").split(":")[0] for row in output.rows] == [
        "",
        "",
        "copy of s-0001",
        "copy of source",
        "collapsed",
        "",
    ]


def test_scores_are_what_the_judges_say_of_the_same_pictures(folders: dict[str, str], output: SceneOutput) -> None:
    clip, identity = load_clip(folders["clip"]), load_identity(folders["identity"])
    text = clip.text_features(["a photo of cat and dog"])[0]
    expected = (clip.image_features(np.stack(PICTURES)) @ text).tolist()
    assert [row["prompt_similarity"] for row in output.rows] == pytest.approx(expected, abs=1e-5)
    red = (SOURCE == RED).all(axis=2)
    flat = PICTURES[4]
    pair = identity.features(np.stack([on_black(SOURCE, red), flat]))
    assert output.rows[4]["found"] == [0, 0], "or the next line is no test of it"
    assert output.rows[4]["identity"][0] == pytest.approx(float(pair[0] @ pair[1]), abs=1e-5)
    for row in output.rows:
        assert row["identity_similarity"] == pytest.approx(np.mean(row["identity"]))


def test_judges_look_with_their_own_segmenter_and_grid(folders: dict[str, str], tmp_path: Path) -> None:
    """A segmenter that is sure of nothing finds nothing, where the job's own finds what one prompt can."""

    def seen(**evaluate: Any) -> list[int]:
        judges = made(folders, **evaluate).judges
        assert judges is not None
        return [len(list(found)) for found in judges.segmenter.propose_all(PICTURES[:2])]

    blind = shutil.copytree(bundled("seedling", "models.sam"), tmp_path / "sam")
    weights = load_file(blind / "model.safetensors")
    save_file({name: torch.zeros_like(value) for name, value in weights.items()}, blind / "model.safetensors")
    assert seen(sam=str(blind)) == [0, 0]
    one, many = seen(points_per_side=1), seen()
    assert max(one) <= 3, "masks of a single prompt"
    assert sum(many) > sum(one)


def test_a_variation_that_is_its_source_is_complete_and_itself(folders: dict[str, str]) -> None:
    """Its masks are looked for as the segment stage looked for the concepts, so they are the very same."""
    segment = SegmentStage(
        JobSpec.model_validate({"source": {"uri": "in"}, "output": "out", "segment": SEGMENT}), StageContext("")
    )
    segment.setup()
    scene = task()
    (concepts,) = segment.process([SceneTask("s", {"scenes": [{}]}, {"png": scene.files["png"]})])
    assert len(concepts.rows) == 2
    scene.rows["concepts"] = concepts.rows
    scene.files["0000.png"] = scene.files["png"]
    (found,) = made(folders, found_at=0.999).process([scene])
    row = found.rows[0]
    assert row["identity"] == pytest.approx([1, 1], abs=1e-5)
    assert row["found"] == [1, 1]
    assert (row["complete"], row["keep"], row["copy_of"]) == (True, False, "source")
    labels = np.asarray(Image.open(io.BytesIO(found.files["s-0000.mask.png"])))
    for index, concept in enumerate(concepts.rows):
        assert np.array_equal(labels == index + 1, decode_mask(concept["mask"]))


def test_batches_do_not_change_scores(folders: dict[str, str], output: SceneOutput) -> None:
    (found,) = made(folders, batch=1).process([task()])
    assert found.files == output.files
    for one, other in zip(found.rows, output.rows, strict=True):
        for mine, its in zip(one["instances"], other["instances"], strict=True):
            assert mine == {**its, "likeness": pytest.approx(its["likeness"], abs=1e-5)}
        for name in set(one) - {"instances"}:
            near = isinstance(one[name], (float, list)) and name != "boxes"
            assert one[name] == (pytest.approx(other[name], abs=1e-5) if near else other[name])


def test_a_scene_s_own_threshold_does_not_depend_on_its_company(folders: dict[str, str]) -> None:
    stage = made(folders, found_at="auto")
    (alone,) = stage.process([task()])
    other = task("t")
    other.files["png"] = png(SOURCE[::-1, ::-1].copy())
    *_, together = stage.process([other, task()])
    assert together.rows == alone.rows
    (at,) = {row["found_at"] for row in alone.rows}
    assert -1 < at < 1


def test_settings_decide_what_is_kept_and_scores_do_not_move(folders: dict[str, str], output: SceneOutput) -> None:
    values = sorted({row["prompt_similarity"] for row in output.rows})
    limit = values[len(values) // 2] - 1e-5
    (found,) = made(folders, max_copy=None, min_contrast=0.0, min_prompt=limit).process([task()])
    assert [row["keep"] for row in found.rows] == [row["prompt_similarity"] >= limit for row in output.rows]
    assert len({row["keep"] for row in found.rows}) == 2
    assert not any(row["copy_of"] or row["collapsed"] for row in found.rows)
    assert [row["copy_similarity"] for row in found.rows][:4] == [row["copy_similarity"] for row in output.rows][:4]


def test_a_picture_that_lacks_a_concept_is_not_kept_by_default_and_says_which(folders: dict[str, str]) -> None:
    scene = task()
    for row in scene.rows["concepts"]:
        row["word"] = ["cat", None][row["index"]]
    for row in scene.rows["variations"]:
        row["handles"] = [f"<asset{index}>" for index in row["concepts"]]
    assert JobSpec.model_validate({"source": {"uri": "in"}, "output": "out"}).evaluate.concepts == "found"
    (found,) = made(folders, concepts="found", max_copy=None, min_contrast=0.0, found_at=0.99999).process([scene])
    lacking = {row["key"]: row for row in found.rows if not row["keep"]}
    assert lacking, "random judges find little so sure as that"
    for row in found.rows:
        missing = [index for index in row["concepts"] if not row["found"][index]]
        names = [f"<asset{index}>" + (" (cat)" if index == 0 else "") for index in missing]
        assert row["reason"] == (f"missing: {' and '.join(names)} not found" if names else None)
        assert row["words"] == [["cat", None][index] for index in row["concepts"]]


def test_one_bad_scene_costs_one_scene(folders: dict[str, str], output: SceneOutput) -> None:
    torn, missing, stranger, bare, none = (task(name) for name in ("torn", "missing", "stranger", "bare", "none"))
    torn.files["0003.png"] = torn.files["0003.png"][:100]
    del missing.files["0002.png"]
    stranger.rows["variations"][0]["concepts"] = [7]
    bare.rows["concepts"] = []
    none.rows["variations"] = []
    found = list(made(folders).process([torn, task(), missing, stranger, bare, none]))
    assert [one.scene_id for one in found] == ["torn", "s", "missing", "stranger", "bare", "none"]
    messages = [one.failure.message if one.failure else None for one in found]
    assert messages[1] is messages[5] is None
    assert "missing-0002 has no picture" in (messages[2] or "")
    assert "asks for concepts [7]; the scene has 2" in (messages[3] or "")
    assert "no concepts" in (messages[4] or "")
    assert messages[0]
    assert found[1].files == output.files
    assert (found[5].rows, found[5].files) == ([], {})


def test_a_batch_too_large_for_memory_is_halved(folders: dict[str, str], output: SceneOutput) -> None:
    """A judge that takes two pictures and no more, as a small GPU would."""
    stage = made(folders, batch=6)
    assert stage.judges is not None
    whole, sizes = stage.judges.clip.image_features, []

    def small(pictures: np.ndarray) -> torch.Tensor:
        sizes.append(len(pictures))
        if len(pictures) > 2:
            raise torch.OutOfMemoryError("no room")
        return whole(pictures)

    stage.judges.clip.image_features = small
    (found,) = stage.process([task()])
    assert found.failure is None
    assert found.files == output.files
    assert max(sizes) == 6


def test_pictures_of_every_format_are_read(folders: dict[str, str]) -> None:
    stage = made(folders)
    for form in ("JPEG", "WEBP"):
        (found,) = stage.process([task(form=form)])
        assert found.failure is None, found.failure
        assert len(found.rows) == 6


def test_a_broken_judge_is_an_error_and_not_a_score(folders: dict[str, str], tmp_path: Path) -> None:
    stage = made(folders)
    assert stage.judges is not None
    with torch.no_grad():
        stage.judges.clip.model.visual_projection.weight.fill_(torch.nan)
    (found,) = stage.process([task()])
    assert found.failure is not None
    assert "not finite" in found.failure.message
    with pytest.raises(SpecError, match="models.identity"):
        made({**folders, "identity": str(tmp_path)})


def test_progress_counts_the_pictures_of_the_unit(folders: dict[str, str]) -> None:
    told: list[dict] = []
    stage = made(folders, batch=4)
    stage.context = StageContext("memory://none", told.append)
    list(stage.process([task("s"), task("t")]))
    assert [(word["picture"], word["pictures"]) for word in told] == [(4, 12), (6, 12), (10, 12), (12, 12)]
    assert [word["share"] for word in told] == pytest.approx([4 / 12, 0.5, 10 / 12, 1.0])

"""The segment stage through the Stage protocol, with a real (small, untrained) Sam and with given masks."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from schemas.job import JobSpec, Segment
from schemas.masks import decode_mask
from schemas.outcomes import SceneTask
from schemas.records import CONCEPTS, FAILURES
from stages.models.sam import build_sam, load_sam
from stages.segment.proposal import Proposal, Proposals
from stages.segment.sam.proposer import Proposer
from stages.segment.selection import Selection, select_concepts
from stages.segment.stage import SegmentStage
from stages.segment.why_none import why_none
from stages.stage import StageContext

SIDE = 64
CONFIG: dict[str, Any] = {
    "image_size": 64,
    "patch_size": 8,
    "prompt_dim": 32,
    "image_encoder": {
        "dim": 32,
        "depth": 2,
        "heads": 2,
        "mlp_ratio": 2.0,
        "window": 4,
        "global_layers": [1],
        "relative_positions": False,
    },
    "mask_decoder": {"depth": 1, "heads": 2, "mlp_dim": 32, "iou_hidden": 16},
    "pixel_mean": [123.675, 116.28, 103.53],
    "pixel_std": [58.395, 57.12, 57.375],
}
ANYTHING = {
    "points_per_side": 3,
    "pred_iou_thresh": 0.0,
    "stability_score_thresh": 0.0,
    "min_area": 0.0,
    "max_area": 1.0,
    "max_border": 1.0,
}


@pytest.fixture(scope="module")
def sam_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An untrained Sam whose quality estimates are always 1/2 or so, as a folder that `load_sam` reads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # more than one only wait for each other on models so small
    torch.manual_seed(3)
    sam = build_sam(CONFIG)
    torch.nn.init.constant_(sam.mask_decoder.iou_prediction_head.layers[-1].bias, 0.5)
    folder = tmp_path_factory.mktemp("sam")
    save_file(sam.state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    yield folder
    torch.set_num_threads(threads)


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def picture() -> bytes:
    pixels = np.full((SIDE, SIDE, 3), 90, np.uint8)
    pixels[10:30, 10:30] = (220, 40, 40)
    pixels[36:60, 30:60] = (30, 80, 220)
    return png(pixels)


def mask_of(x: int, y: int, width: int, height: int) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[y : y + height, x : x + width] = True
    return mask


def task(masks: dict[int, np.ndarray], words: list[str | None]) -> SceneTask:
    files = {f"mask{n}.png": png(mask.astype(np.uint8) * 255) for n, mask in masks.items()}
    return SceneTask("0123456789abcdef", {"scenes": [{"words": words, "side": SIDE}]}, {"png": picture(), **files})


def stage(sam: Path, **segment: Any) -> SegmentStage:
    spec = JobSpec.model_validate(
        {"source": {"uri": "in"}, "output": "out", "models": {"sam": str(sam)}, "segment": segment}
    )
    made = SegmentStage(spec, StageContext("memory://shared"))
    made.prepare()
    made.setup()
    return made


def concepts(made: SegmentStage, scene: SceneTask) -> list[dict[str, Any]]:
    """Rows of the only output, after a round trip through the Arrow schema."""
    outputs = list(made.process([scene]))
    assert len(outputs) == 1
    assert outputs[0].failure is None, outputs[0].failure
    assert not outputs[0].files
    assert set(outputs[0].rows[0]) == set(CONCEPTS.names)
    rows: list[dict[str, Any]] = pa.Table.from_pylist(outputs[0].rows, schema=CONCEPTS).to_pylist()
    assert [row["index"] for row in rows] == list(range(len(rows)))
    return rows


def test_own_masks_are_the_concepts_with_their_words(sam_folder: Path) -> None:
    masks = {0: mask_of(10, 10, 20, 20), 1: mask_of(30, 36, 30, 24), 2: mask_of(0, 0, 64, 4)}
    rows = concepts(stage(sam_folder), task(masks, ["cube", None, "shelf"]))
    assert [row["word"] for row in rows] == ["cube", None, "shelf"]
    assert {row["origin"] for row in rows} == {"own"}
    for row, mask in zip(rows, masks.values(), strict=True):
        assert np.array_equal(decode_mask(row["mask"]), mask)
        assert row["area"] == mask.sum()
        assert row["area_share"] == pytest.approx(mask.mean())
        assert row["score"] is row["predicted_iou"] is row["stability_score"] is None
    assert rows[0]["bbox"] == [10, 10, 20, 20]
    assert rows[0]["border_share"] == 0
    assert rows[2]["border_share"] == pytest.approx((64 + 3 + 3) / (4 * 64 - 4))


def test_own_masks_are_ordered_by_number_not_by_name(sam_folder: Path) -> None:
    masks = {n: mask_of(4 * n, 10, 4, 4) for n in (10, 2, 0)}
    rows = concepts(stage(sam_folder), task(masks, ["a", "b", "c"]))
    assert [(row["bbox"][0], row["word"]) for row in rows] == [(0, "a"), (8, "b"), (40, "c")]


def test_of_too_many_own_masks_the_largest_stay_and_the_log_says_so(
    sam_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    masks = {n: mask_of(10 * n, 10, 8, size) for n, size in enumerate([20, 3, 30, 4])}
    with caplog.at_level(logging.WARNING):
        rows = concepts(stage(sam_folder, max_concepts=2, background=True), task(masks, list("abcd")))
    assert [row["word"] for row in rows] == ["a", "c", "background"]
    assert "numbers [1, 3] are not" in caplog.text
    union = np.logical_or.reduce(list(masks.values()))
    assert np.array_equal(decode_mask(rows[-1]["mask"]), ~union), "what was left out is not background either"


def test_background_is_the_complement(sam_folder: Path) -> None:
    mask = mask_of(10, 10, 20, 20)
    rows = concepts(stage(sam_folder, background=True), task({0: mask}, ["cube"]))
    assert [row["origin"] for row in rows] == ["own", "background"]
    assert np.array_equal(decode_mask(rows[1]["mask"]), ~mask)
    full = concepts(stage(sam_folder, background=True), task({0: mask_of(0, 0, 64, 64)}, [None]))
    assert [row["origin"] for row in full] == ["own"], "nothing is left for a background"


def test_found_concepts_are_disjoint_scored_and_fit_the_table(sam_folder: Path) -> None:
    rows = concepts(stage(sam_folder, **ANYTHING), task({}, []))
    assert {row["origin"] for row in rows} == {"sam"}
    assert 1 <= len(rows) <= 4
    assert sum(decode_mask(row["mask"]).astype(int) for row in rows).max() == 1
    for row in rows:
        assert 0 <= row["predicted_iou"] <= 1
        assert 0 <= row["stability_score"] <= 1
        assert row["area"] == decode_mask(row["mask"]).sum() > 0
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)


def test_batching_of_prompts_does_not_change_concepts(sam_folder: Path) -> None:
    one, all_ = (concepts(stage(sam_folder, **ANYTHING, points_per_batch=n), task({}, [])) for n in (3, 64))
    assert [row["mask"] for row in one] == [row["mask"] for row in all_]


def test_no_proposal_and_no_concept_name_the_remedy(sam_folder: Path) -> None:
    strict = stage(sam_folder, points_per_side=3, pred_iou_thresh=1.0)
    picky = stage(sam_folder, **{**ANYTHING, "max_area": 0.0})
    for made, remedy in ((strict, "segment.pred_iou_thresh (1.0)"), (picky, "segment.max_area (0.0)")):
        outputs = list(made.process([task({}, [])]))
        assert [output.rows for output in outputs] == [[]]
        assert outputs[0].failure is not None
        row = outputs[0].failure.row("segment")
        pa.Table.from_pylist([row], schema=FAILURES)
        assert row["error"] == "NoConcept"
        assert remedy in row["message"]


def test_what_the_message_says_is_the_threshold_that_lets_a_mask_pass() -> None:
    """Noise, in which a trained model is sure of nothing. Followed word by word: first the one, then the other."""
    scene = task({}, [])
    scene.files["png"] = png(np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3), np.uint8))
    settings: dict[str, Any] = {"points_per_side": 4, "pred_iou_thresh": 0.95, "stability_score_thresh": 0.95}
    asked = []
    while len(asked) < 3:
        [output] = stage(Path("seedling"), **settings).process([scene])
        message = output.failure.row("segment")["message"] if output.failure else ""
        if "found no mask good enough" not in message:
            break
        match = re.search(r"(?:an IoU of|most stable has) (0\.\d\d); lower segment\.(\w+) ", message)
        assert match is not None, message
        settings[match[2]] = float(match[1])
        asked.append(match[2])
    assert asked == ["pred_iou_thresh", "stability_score_thresh"]


def test_only_the_bounds_that_dropped_masks_are_named() -> None:
    """One too large alone: a wider bound would make a concept of the whole picture, more masks the thing itself."""
    spec = JobSpec.model_validate({"source": {"uri": "in"}, "output": "out"})
    one = Proposals([Proposal(np.ones((SIDE, SIDE), bool), 0.9, 0.9)])
    said = why_none(spec, one, select_concepts(one, spec.segment))
    assert said.startswith("the only mask is no concept (1 too large); change segment.max_area (")
    assert ", lower segment.pred_iou_thresh (" in said
    assert "min_area" not in said
    assert "max_border" not in said


def test_the_small_model_s_message_names_another_for_photographs() -> None:
    nothing = Selection([])
    for sam, named in (("seedling", True), ("sam_vit_h_4b8939.pth", False)):
        spec = JobSpec.model_validate({"source": {"uri": "in"}, "output": "out", "models": {"sam": sam}})
        assert ("for photographs, name another models.sam" in why_none(spec, Proposals(), nothing)) is named


def test_a_bad_scene_does_not_cost_its_neighbours(sam_folder: Path) -> None:
    good, bad = task({0: mask_of(10, 10, 20, 20)}, [None]), task({}, [])
    bad.scene_id, bad.files["png"] = "f" * 16, b"not a png"
    outputs = list(stage(sam_folder).process([bad, good]))
    assert [output.scene_id for output in outputs] == ["f" * 16, good.scene_id]
    assert [output.failure is None for output in outputs] == [False, True]


@pytest.mark.parametrize("layers", [0, 1])
def test_a_picture_without_masks_gives_no_proposals(sam_folder: Path, layers: int) -> None:
    """With crops the library itself fails here."""
    settings = Segment(points_per_side=3, pred_iou_thresh=1.0, crop_n_layers=layers)
    assert Proposer(load_sam(str(sam_folder), "cpu"), settings).propose(np.zeros((SIDE, SIDE, 3), np.uint8)) == []


def test_proposals_over_crops_have_the_size_of_the_picture(sam_folder: Path) -> None:
    settings = Segment(**{**ANYTHING, "crop_n_layers": 1})
    proposals = Proposer(load_sam(str(sam_folder), "cpu"), settings).propose(np.zeros((96, 96, 3), np.uint8))
    assert proposals
    assert {proposal.mask.shape for proposal in proposals} == {(96, 96)}
    assert all(proposal.mask.any() for proposal in proposals)

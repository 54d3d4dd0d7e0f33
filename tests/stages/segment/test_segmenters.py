"""The door that segmenters come in by: built from the spec alone, and known to its users by `propose_all` alone."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from schemas.errors import SpecError
from schemas.job import JobSpec
from schemas.masks import decode_mask
from schemas.outcomes import SceneTask
from schemas.spec_file import load_spec
from stages.evaluate.stage import EvaluateStage
from stages.segment import stage as segment_stage
from stages.segment.proposal import Proposal, Proposals
from stages.segment.segmenters import Segmenter, load_segmenter
from stages.segment.stage import SegmentStage
from stages.stage import StageContext
from tests.support import ROOT

SIDE = 64
MIDDLE = np.pad(np.ones((SIDE // 2, SIDE // 2), bool), SIDE // 4)


def spec(**models: Any) -> JobSpec:
    return JobSpec.model_validate({"source": {"uri": "a"}, "output": "b", "models": models})


@pytest.mark.parametrize("stage", [SegmentStage, EvaluateStage])
def test_a_model_that_is_not_there_is_told_when_a_stage_sets_up(stage: type[Any], tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"models\.sam: .*absent\.pth: no such file or folder; check the path"):
        stage(spec(sam=str(tmp_path / "absent.pth")), str(tmp_path)).setup()


def test_it_is_made_of_the_spec_s_model_and_settings() -> None:
    demo = ROOT / "jobs" / "demo.yaml"
    image = Image.open(ROOT / "demo" / "bucket" / "scene-00.jpg").convert("RGB").resize((SIDE, SIDE))
    [found] = load_segmenter(load_spec(demo)).propose_all([np.asarray(image)])
    assert isinstance(found, list)
    assert found
    assert {proposal.mask.shape for proposal in found} == {(SIDE, SIDE)}
    strict = load_spec(demo, ["segment.pred_iou_thresh=1.0"])
    [fewer] = load_segmenter(strict).propose_all([np.asarray(image)])
    assert isinstance(fewer, list)
    assert len(fewer) < len(found)
    assert {proposal.predicted_iou for proposal in fewer} <= {1.0}


class Middles:
    """Offers the middle of every picture that is not black, and fails on the others."""

    def propose_all(self, pictures: Sequence[np.ndarray]) -> Iterator[Proposals | Exception]:
        for picture in pictures:
            yield Proposals([Proposal(MIDDLE, 0.9, 0.8)]) if picture.any() else ValueError("nothing but black")


def test_a_segmenter_of_another_kind_needs_nothing_but_propose_all(monkeypatch: pytest.MonkeyPatch) -> None:
    middles: Segmenter = Middles()
    monkeypatch.setattr(segment_stage, "load_segmenter", lambda spec: middles)
    stage = SegmentStage(spec(), StageContext("unused"))
    stage.setup()
    tasks = []
    for scene, grey in (("black", 0), ("grey", 128)):
        buffer = io.BytesIO()
        Image.new("RGB", (SIDE, SIDE), (grey,) * 3).save(buffer, "PNG")
        tasks.append(SceneTask(scene, {}, {"png": buffer.getvalue()}))
    failed, made = stage.process(tasks)
    assert failed.failure is not None
    assert "nothing but black" in failed.failure.message
    [row] = made.rows
    assert (row["predicted_iou"], row["stability_score"], row["origin"]) == (0.9, 0.8, "sam")
    assert np.array_equal(decode_mask(row["mask"]), MIDDLE)

"""Measuring the mask model: counts of one scene by hand, and the committed model over toys from end to end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.training.masks import measure as measuring
from models.training.masks.measure import iou_table, save_rows, score_scene, score_scenes
from models.training.masks.train import CONFIG
from models.training.world.roster import HELD_OUT, TRAINED
from models.training.world.scene import Scene
from models.training.world.world import ToySettings
from schemas.spec_file import load_spec
from stages.models.sam import build_sam, load_sam
from tests.support import ROOT


def block(left: int, top: int, width: int, height: int) -> np.ndarray:
    mask = np.zeros((64, 64), bool)
    mask[top : top + height, left : left + width] = True
    return mask


def scene(*masks: np.ndarray) -> Scene:
    return Scene(np.zeros((64, 64, 3), np.uint8), np.array(masks, bool).reshape(-1, 64, 64), (), 0)


def test_iou_of_every_pair() -> None:
    table = iou_table([block(0, 0, 10, 10), block(40, 40, 4, 4)], [block(0, 0, 10, 5), block(5, 0, 10, 10)])
    assert table == pytest.approx(np.array([[0.5, 1 / 3], [0.0, 0.0]]))
    assert iou_table([], [block(0, 0, 2, 2)]).shape == (0, 1)


def test_a_scene_s_counts() -> None:
    first, second, small = block(2, 2, 20, 20), block(30, 30, 20, 20), block(60, 0, 4, 4)
    three = scene(first, second, small)
    nearly, half = block(2, 2, 20, 16), block(30, 30, 20, 10)  # IoU 0.8 and 0.5
    for concepts, proposals, wanted in (
        ([nearly, half], [nearly, half, second], (2, 1, 2, 1, 2, 1)),
        ([first, second, small], [first, second, small], (3, 3, 2, 2, 2, 1)),  # right, if not asked for
        ([], [half], (0, 0, 2, 0, 0, 1)),
    ):
        assert score_scene(three, concepts, proposals, 0.02) == wanted
    assert score_scene(scene(), [half], [half], 0.02) == (1, 0, 0, 0, 0, 0), "in an empty scene all is wrong"


def test_the_committed_model_is_measured_end_to_end(tmp_path: Path) -> None:
    sam = load_sam(str(ROOT / "models" / "seedling" / "sam"), "cpu")
    side = sam.image_encoder.img_size
    world = ToySettings(HELD_OUT, height=side, width=side, seed=903).open()
    scenes = [world.scene(i) for i in range(6)]
    settings = load_spec(ROOT / "jobs" / "demo.yaml").segment
    sheet = tmp_path / "sheets" / "sam.png"
    score = score_scenes(sam, scenes, settings, sheet)
    assert score.concepts.scenes == 6
    assert 0.5 < score.points.top <= score.points.best <= 1
    assert 0.4 < score.edges.best <= 1
    assert score.edges != score.points
    assert score.concepts.found <= score.concepts.proposed <= score.concepts.objects
    assert score.concepts.recall >= 0.5
    assert score.concepts.precision >= 0.5
    assert Image.open(sheet).size == (8 * 128, 256)
    strict = score_scenes(sam, scenes, settings.model_copy(update={"min_area": 0.6})).concepts
    assert (strict.objects, strict.concepts, strict.precision, strict.recall) == (0, 0, 0.0, 0.0)
    assert strict.hidden == score.concepts.objects + score.concepts.hidden


def test_toys_are_measured_by_kind_and_in_places_without_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stand-in that finds every toy in the first scene of each kind and nothing in the others, but a corner of
    every place without toys."""
    asked: list[Scene] = []

    def concepts(sam: object, scenes: list[Scene], *_: object) -> measuring.ConceptScore:
        asked.extend(scenes)
        objects = sum(len(scene.masks) for scene in scenes)
        found = len(scenes[0].masks)
        wrong = len(scenes) if objects == 0 else 0
        return measuring.ConceptScore(len(scenes), found + wrong, found, objects, found, found, 0, 0.0)

    monkeypatch.setattr(measuring, "concept_score", concepts)
    torch.manual_seed(0)
    measuring.print_kinds(build_sam(CONFIG), load_spec(ROOT / "jobs" / "demo.yaml").segment, 2)
    head, *rows, empty = capsys.readouterr().out.splitlines()
    assert head.count("|") == 6
    assert [row.split("|")[1].strip() for row in rows] == [
        f"new {what}, {count}" for what in ("combinations", "silhouettes") for count in ("one toy", "two", "three")
    ]
    assert [row.split("|")[5].strip() for row in rows] == [f"0.500 ({n} of {2 * n})" for n in (1, 2, 3)] * 2
    assert empty == "concepts found in 2 places without a toy: 2"
    assert not {toy for scene in asked for toy in scene.objects} & set(TRAINED)


def test_a_sheet_keeps_its_last_row(tmp_path: Path) -> None:
    pictures = [np.full((4, 4, 3), 10 * i, np.uint8) for i in range(5)]
    save_rows(pictures, tmp_path / "sheet.png", columns=3, zoom=1)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (8, 12, 3)
    assert (sheet[4:, 4:8] == 40).all()
    assert (sheet[4:, 8:] == 255).all()

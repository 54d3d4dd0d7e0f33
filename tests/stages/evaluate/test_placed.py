"""What is told of pictures that were placed into a real one: by their region, and the label of all of the picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image

from schemas.job import JobSpec, Segment
from schemas.masks import encode_mask
from schemas.outcomes import SceneOutput, SceneTask
from stages.evaluate import stage
from stages.evaluate.instances import Instance, parts
from stages.evaluate.judging import Judges
from stages.evaluate.placed import Window, drawn_in, standing_beside
from stages.evaluate.stage import EvaluateStage
from stages.stage import StageContext
from tests.stages.evaluate.test_judging import (
    BLUE,
    GREEN,
    RED,
    SIDE,
    SOURCE,
    ColourJudge,
    Regions,
    canvas,
    png,
    source_task,
)

RED_MASK, GREEN_MASK = ((colour == SOURCE).all(axis=2) for colour in (RED, GREEN))


def box(top: int, left: int, height: int, width: int) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[top : top + height, left : left + width] = True
    return mask


def judged(
    *pictures: tuple[np.ndarray, np.ndarray, list[int]],
    into: np.ndarray | None = None,
    masks: Sequence[np.ndarray] = (RED_MASK, GREEN_MASK),
    **evaluate: Any,
) -> SceneOutput:
    """Of a scene with a red and a green concept: (picture, region, concepts asked for), judged by their colours. into:
    the given picture that they were placed into, if it is not the scene's own. masks: of its concepts."""
    task, rows = source_task(), []
    for concept in task.rows["concepts"]:
        concept["mask"] = encode_mask(masks[concept["index"]])
    for number, (picture, region, concepts) in enumerate(pictures):
        task.files[f"{number:04d}.png"] = png(picture)
        if into is not None:
            task.files[f"{number:04d}.source.png"] = png(into)
        rows.append(
            {
                "key": f"s-{number:04d}",
                "scene_id": "s",
                "prompt": "a photo of <asset0>",
                "text": "a photo of red",
                "concepts": concepts,
                "file": f"s-{number:04d}.png",
                "mode": "place",
                "region": encode_mask(region),
                "into": None if into is None else "room.png",
            }
        )
    spec = JobSpec.model_validate(
        {"source": {"uri": "in"}, "output": "out", "evaluate": {"enabled": True, "found_at": 0.95, **evaluate}}
    )
    evaluate_stage = EvaluateStage(spec, StageContext("memory://none"))
    judge: Any = ColourJudge()
    evaluate_stage.judges = Judges(judge, judge, Regions(), Segment(max_border=1.0))
    (output,) = evaluate_stage.process([SceneTask("s", {**task.rows, "variations": rows}, task.files)])
    assert output.failure is None, output.failure
    return output


def labels(output: SceneOutput, number: int) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(output.files[output.rows[number]["mask"]])))


def instances(output: SceneOutput, number: int) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(output.files[output.rows[number]["instance"]])))


def drawn(picture: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    made = picture.copy()
    made[mask] = colour
    return made


FREE = box(34, 4, 24, 24)
INSIDE = box(38, 8, 16, 16)


def test_the_source_has_room_where_these_tests_put_things() -> None:
    assert not (FREE & (RED_MASK | GREEN_MASK)).any()


def test_what_was_drawn_is_found_and_what_stands_beside_it_is_labelled_by_its_own_mask() -> None:
    output = judged((drawn(SOURCE, INSIDE, RED), FREE, [0]))
    row = output.rows[0]
    assert (row["found"], row["complete"], row["mode"]) == ([2, 1], True, "place"), "once in the region"
    assert row["identity"][0] == pytest.approx(1.0, abs=0.01)
    found = labels(output, 0)
    assert np.array_equal(found[~FREE], np.where(GREEN_MASK, 2, np.where(RED_MASK, 1, 0))[~FREE])
    assert (found[box(40, 10, 12, 12)] == 1).all(), "but for the rim, which no judge of colours sees enlarged"
    assert not found[FREE & ~INSIDE].any()


def test_a_concept_in_the_place_of_another_is_labelled_so() -> None:
    output = judged((drawn(SOURCE, GREEN_MASK, RED), GREEN_MASK, [0]))
    assert output.rows[0]["found"] == [2, 0]
    assert (labels(output, 0)[box(38, 38, 16, 16)] == 1).all()
    assert not (labels(output, 0) == 2).any()


def test_nothing_drawn_is_nothing_found_and_a_copy_of_the_source() -> None:
    """Beside the whole picture a region is so little that every picture would be its copy."""
    region = box(34, 2, 28, 28)
    something = drawn(SOURCE, box(40, 6, 6, 6), BLUE)
    output = judged((SOURCE, GREEN_MASK, [0]), (drawn(SOURCE, INSIDE, RED), FREE, [0]), (something, region, [0]))
    assert output.rows[0]["copy_of"] == "source"
    assert output.rows[1]["copy_of"] is None
    assert (output.rows[2]["complete"], output.rows[2]["found"]) == (False, [0, 1])
    assert (labels(output, 2)[region] == 0).all()


def test_a_flat_region_is_collapsed_whatever_is_around_it() -> None:
    output = judged((drawn(SOURCE, box(0, 0, 64, 64), (90, 90, 90)), FREE, [0]))
    assert output.rows[0]["collapsed"]


def test_windows_lie_in_the_picture_and_masks_come_back_from_them() -> None:
    for region in (box(0, 0, 10, 6), box(50, 20, 14, 44), box(0, 0, 64, 64), box(30, 30, 1, 1)):
        window = Window.around(region)
        assert 0 <= window.top <= window.top + window.side <= SIDE
        assert 0 <= window.left <= window.left + window.side <= SIDE
        assert np.array_equal(window.back(window.inside()), region)
        assert np.array_equal(window.back(np.ones((SIDE, SIDE), bool)), region), "nothing outside it was drawn"
    seen = Window.around(INSIDE).seen(canvas((RED, 8, 38, 16, 16)))
    assert seen.shape == (SIDE, SIDE, 3)
    assert (seen[..., 1] < 64).mean() == pytest.approx(1 / 1.5**2, abs=0.03)


def test_labels_leave_out_what_the_region_covers() -> None:
    window = Window.around(FREE)
    drawn = drawn_in(window, [Instance(0, window.inside(), 0.9)])
    (one,) = drawn
    assert np.array_equal(one.mask, FREE)
    beside = standing_beside(window, drawn, [0], [RED_MASK, FREE | GREEN_MASK])
    shown = parts([*drawn, *beside])
    assert np.array_equal(shown[0], RED_MASK | FREE)
    assert np.array_equal(shown[1], GREEN_MASK & ~FREE)
    assert [found.concept for found in standing_beside(window, [], [], [FREE, GREEN_MASK])] == [1]
    assert standing_beside(window, drawn, [0], []) == []
    speck = np.zeros_like(FREE)
    speck[1, 1] = True
    assert drawn_in(window, [Instance(0, speck, 0.9)]) == [], "beside the region, or too small to be a pixel of it"


def test_of_own_masks_that_overlap_the_smaller_is_on_top_and_what_is_covered_has_no_id() -> None:
    window = Window.around(FREE)
    table, cup, spoon, saucer = box(0, 30, 30, 30), box(4, 34, 10, 10), box(8, 38, 10, 4), box(4, 34, 12, 10)
    masks = [spoon, saucer, table, cup]
    beside = standing_beside(window, [], [], masks)
    shown = {one.concept: one.mask for one in beside}
    assert [one.concept for one in beside] == [0, 1, 2, 3]
    assert np.array_equal(shown[0], spoon)
    assert np.array_equal(shown[3], cup & ~spoon)
    assert np.array_equal(shown[1], saucer & ~cup & ~spoon)
    assert np.array_equal(shown[2], table & ~saucer & ~cup & ~spoon)
    halves = [box(4, 34, 10, 5), box(4, 39, 10, 5), cup]
    assert [one.concept for one in standing_beside(window, [], [], halves)] == [0, 1], "covered by both together"
    alike = standing_beside(window, [], [], [box(4, 34, 10, 10), box(4, 40, 10, 10)])
    assert [one.mask.sum() for one in alike] == [60, 100], "of two of one size the later, as data sets paint them"
    cut = standing_beside(Window.around(box(0, 30, 30, 20)), [], [], [box(0, 34, 30, 26), box(0, 45, 20, 14)])
    assert [one.mask.sum() for one in cut] == [30 * 10 - 20 * 9, 20 * 9], "what the region leaves decides nothing"


@pytest.mark.parametrize("held", [False, True])
def test_a_thing_held_by_another_has_pixels_wherever_it_has_an_id(held: bool) -> None:
    """A mask that holds the red thing's, or overlaps it, in either order of indices."""
    wide = box(2, 2, 28, 28) if held else box(2, 16, 30, 30)
    assert (wide & RED_MASK).any()
    assert held == (wide >= RED_MASK).all()
    for red, masks in enumerate(([RED_MASK, wide], [wide, RED_MASK])):
        output = judged((drawn(SOURCE, INSIDE, RED), FREE, [red]), masks=masks)
        ids, row = instances(output, 0), output.rows[0]
        assert {one["id"] for one in row["instances"]} == set(np.unique(ids)) - {0}
        own = {one["concept"]: ids == one["id"] for one in row["instances"] if one["likeness"] is None}
        assert np.array_equal(own[red], RED_MASK)
        assert np.array_equal(own[1 - red], wide & ~RED_MASK)


def test_what_was_drawn_beside_itself_has_an_id_of_its_own() -> None:
    output = judged((drawn(SOURCE, INSIDE, RED), FREE, [0]))
    row, ids = output.rows[0], instances(output, 0)
    assert [(one["id"], one["concept"]) for one in row["instances"]] == [(1, 0), (2, 0), (3, 1)]
    assert [one["likeness"] is None for one in row["instances"]] == [False, True, True]
    assert np.array_equal(ids == 2, RED_MASK & ~FREE)
    assert np.array_equal(ids == 3, GREEN_MASK & ~FREE)
    assert np.array_equal(ids == 1, (labels(output, 0) == 1) & FREE)
    assert row["together"] == [None, None], "of what was drawn there is one"


@pytest.mark.parametrize("left", [0, 1])
def test_of_masks_that_lost_their_pixels_nothing_is_told_together(left: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is so thin in the enlarged square that no pixel of the picture shows it."""
    twice = drawn(drawn(SOURCE, box(36, 6, 8, 20), RED), box(48, 6, 8, 20), RED)
    assert judged((twice, FREE, [0])).rows[0]["together"][0] is not None
    monkeypatch.setattr(stage, "drawn_in", lambda window, seen: drawn_in(window, seen)[:left])
    assert judged((twice, FREE, [0])).rows[0]["together"] == [None, None]


def test_the_mask_shows_what_is_counted_and_no_more() -> None:
    """Of a concept that was to be drawn beside itself, and is not in the region, nothing counts."""
    something = drawn(SOURCE, box(40, 6, 6, 6), BLUE)
    output = judged((something, FREE, [0]), (something, FREE, [0, 1]))
    for number, found in enumerate(([0, 1], [0, 0])):
        row = output.rows[number]
        assert row["found"] == found
        assert set(np.unique(labels(output, number))) == {0} | {index + 1 for index in range(2) if found[index]}
        assert [one["concept"] for one in row["instances"]] == [index for index in range(2) if found[index]]
        assert row["boxes"] == [None] * len(row["concepts"])


def test_a_given_picture_is_what_a_copy_is_held_against_and_has_no_masks_of_the_scene() -> None:
    room = canvas((BLUE, 2, 2, 50, 20), (GREEN, 40, 30, 20, 30), (BLUE, 5, 35, 10, 3))
    output = judged((room, FREE, [0]), (drawn(room, INSIDE, RED), FREE, [0]), into=room)
    assert [row["copy_of"] for row in output.rows] == ["source", None]
    assert output.rows[1]["found"] == [1, 0]
    assert not labels(output, 1)[~FREE].any()

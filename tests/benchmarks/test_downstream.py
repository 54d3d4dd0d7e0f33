"""What `benchmarks.downstream` is made of: scenes, augmentation, arms, labels, scores, and what is told of them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from benchmarks import downstream, downstream_detector
from benchmarks.downstream_arms import ARMS, ONTO_PLACES, PASTE, REAL, drawer
from benchmarks.downstream_augment import LEAST_LEFT, jittered, pasted
from benchmarks.downstream_classifier import average_precisions
from benchmarks.downstream_jobs import labelled, load, save, spec_of
from benchmarks.downstream_page import Results, mask_ap, tables, told_apart, write_page
from benchmarks.downstream_scenes import (
    OTHER,
    SHOWN,
    Labelled,
    empty_places,
    judging_scenes,
    near_scenes,
    near_toys,
    other_scenes,
    real_scenes,
    toys_of,
)
from benchmarks.downstream_scoring import groups
from benchmarks.downstream_scoring import mask_ap as scored
from models.training.reading.facts import right_facts
from models.training.world.places.backgrounds import BACKGROUNDS
from models.training.world.roster import NEW_COMBINATIONS, NEW_SHAPES
from schemas.masks import encode_mask
from schemas.outcomes import SceneTask
from stages.pictures import encode

SIDE = 128


def square(top: int, left: int, side: int) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def painted(*masks: np.ndarray, classes: tuple[int, ...] = ()) -> Labelled:
    """Each mask in a colour of its own, on black."""
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    for number, mask in enumerate(masks):
        image[mask, number] = 200
    parts = np.stack(masks) if masks else np.zeros((0, SIDE, SIDE), bool)
    return Labelled(image, parts, classes or tuple(range(1, len(masks) + 1)))


def test_both_toys_are_held_out_and_of_one_colour() -> None:
    for seed in range(8):
        known, new = toys_of(seed)
        assert known in NEW_COMBINATIONS
        assert new in NEW_SHAPES
        assert known.colour == new.colour


def test_fewer_scenes_are_the_first_of_more_and_all_show_both_toys() -> None:
    four = real_scenes(3)
    for one, other in zip(real_scenes(3, 2), four, strict=False):
        assert (one.image == other.image).all()
    assert [scene.classes for scene in four] == [(1, 2)] * 4
    assert len({scene.place for scene in four}) == 4


def test_another_toy_of_the_test_has_no_label() -> None:
    alone, beside = judging_scenes(0, 2)[:14], judging_scenes(0, 2)[14:]
    assert all(len(scene.masks) == len(scene.classes) in (1, 2) for scene in (*alone, *beside))
    assert not any((one.image == other.image).all() for one, other in zip(alone, beside, strict=True))


def test_near_toys_share_two_facts_and_are_nowhere_but_in_the_test() -> None:
    for seed in range(3):
        own, near = toys_of(seed), near_toys(seed)
        assert near
        assert all(max(sum(right_facts(toy, one)) for one in own) == 2 for toy in near)
        assert not {*near} & {*own}
    assert {c for scene in (*near_scenes(0, 1), *other_scenes(0, 3)) for c in scene.classes} == {OTHER}


def test_average_precision_is_of_each_toy_among_all_things() -> None:
    pictures = [painted(square(9, 9, 9), square(40, 40, 9), classes=c) for c in ((1, 2), (1, 3), (2, 2))]
    chances = [np.array(rows, np.float32) for rows in (
        [(0.9, 0.1, 0.0), (0.2, 0.8, 0.0)], [(0.5, 0.3, 0.2), (0.6, 0.4, 0.0)], [(1.0, 0.0, 0.0)] * 2,
    )]  # fmt: skip
    told = average_precisions(pictures, chances, [0, 1])
    assert told == pytest.approx({1: (1 + 2 / 3) / 2, 2: 1.0, 0: (1 + 5 / 6) / 2})


def test_only_the_test_shows_the_unshown_places() -> None:
    shown = {BACKGROUNDS[scene.place].name for scene in (*real_scenes(0), *empty_places(0))}
    unshown = [place for i, place in enumerate(BACKGROUNDS) if i not in SHOWN]
    prompts = " ".join(spec_of("break_a_scene", "variations").generate.prompts)
    assert shown <= {BACKGROUNDS[i].name for i in SHOWN}
    assert not any(phrase in prompts for place in unshown for phrase in place.phrases)
    assert {scene.place for scene in judging_scenes(0, 1)} == set(range(len(BACKGROUNDS)))


def test_a_mask_stays_on_its_thing_through_flips_crops_and_jitter() -> None:
    shown, dice = painted(square(20, 30, 50), square(80, 80, 40)), np.random.default_rng(0)
    for _ in range(40):
        moved = jittered(shown, dice)
        for mask, class_ in zip(moved.masks, moved.classes, strict=True):
            seen = (moved.image[..., class_ - 1] > 90) & (moved.image[..., 2] < 60)  # what is grey lies around
            assert (seen & mask).sum() / (seen | mask).sum() > 0.85


def test_what_a_crop_leaves_too_little_of_is_no_thing_any_more() -> None:
    shown, dice = painted(square(0, 0, 40), square(44, 44, 40)), np.random.default_rng(1)
    lost = [len(jittered(shown, dice).classes) for _ in range(60)]
    assert {1, 2} <= set(lost)


def test_a_pasted_thing_covers_what_is_below_and_its_mask_leaves_it() -> None:
    below, above, dice = painted(square(30, 30, 60)), painted(square(0, 0, 50), classes=(7,)), np.random.default_rng(2)
    covered = 0
    for _ in range(40):
        made = pasted(below, [above], dice)
        assert made.masks.sum(0).max() == 1
        assert set(made.classes) <= {1, 7}
        if 1 in made.classes:
            left = made.masks[made.classes.index(1)].sum()
            assert left >= LEAST_LEFT * 60 * 60
            covered += left < 60 * 60
    assert covered
    assert (below.image == painted(square(30, 30, 60)).image).all()


def test_an_arm_draws_its_kinds_in_its_shares_and_without_one_the_others() -> None:
    pools = {kind: [painted(square(30, 30, 60), classes=(n,))] for n, kind in enumerate((REAL, "variations"), 1)}
    draw, dice = drawer(ARMS["variations"], pools), np.random.default_rng(3)
    seen = Counter(draw(dice).classes for _ in range(400))
    assert seen[(2,)] == pytest.approx(200, abs=40)
    alone = drawer(ARMS["variations"], {**pools, "variations": []})
    assert {alone(dice).classes for _ in range(40)} <= {(1,), ()}
    assert (drawer(ARMS["real"], pools)(dice).image == pools[REAL][0].image).all()


def test_copy_paste_pastes_onto_places_that_are_empty() -> None:
    empty = Labelled(np.full((SIDE, SIDE, 3), 255, np.uint8), np.zeros((0, SIDE, SIDE), bool), ())
    draw = drawer(ARMS[PASTE], {REAL: [painted(square(9, 9, 40))], "empty": [empty]})
    white = [np.median(draw(np.random.default_rng(n)).image) > 128 for n in range(60)]
    assert 15 < sum(white) < 45
    assert ARMS[PASTE].shares[ONTO_PLACES] == 0.5


def drawn_task() -> SceneTask:
    """A scene of two toys and five pictures: one good, one not kept, one that lacks a toy, one placed beside
    itself, and one that shows it twice, by ids."""
    once, twice = np.zeros((SIDE, SIDE), np.uint8), np.zeros((SIDE, SIDE), np.uint8)
    once[square(10, 10, 30)], once[square(70, 70, 30)] = 1, 2
    twice[square(10, 10, 30)], twice[square(70, 70, 30)] = 1, 1
    region = encode_mask(square(64, 64, 60))

    def row(number: int, **more: Any) -> dict[str, Any]:
        name = f"00x00-{number:04d}"
        given = {"key": name, "file": f"{name}.png", "mask": f"{name}.mask.png", "mode": "variations", "region": None}
        return given | {"concepts": [0, 1], "found": [1, 1], "keep": True, "reason": None} | more

    copies = [{"id": number, "concept": 0, "likeness": 0.9} for number in (1, 2)]
    rows = [
        row(0),
        row(1, keep=False, reason="missing: it"),
        row(2, found=[1, 0]),
        row(3, mode="place", region=region, found=[2, 0], concepts=[0]),
        row(4, instance="00x00-0004.instance.png", instances=copies, found=[2, 0], concepts=[0]),
    ]
    concepts = [{"index": i, "word": word, "origin": "own"} for i, word in enumerate(("red star", "blue fish"))]
    files = {f"{number:04d}.png": encode(_picture(), "png") for number in range(5)}
    files |= {f"{number:04d}.mask.png": _png(twice if number == 3 else once) for number in range(5)}
    files["0004.instance.png"] = _png(once)
    return SceneTask("00x00", {"concepts": concepts, "variations": rows, "scores": rows}, files)


def _picture() -> Any:
    from PIL import Image

    return Image.fromarray(np.zeros((SIDE, SIDE, 3), np.uint8))


def _png(mask: np.ndarray) -> bytes:
    from PIL import Image

    return encode(Image.fromarray(mask), "png")


def test_labels_of_new_pictures_are_those_of_a_data_set() -> None:
    left_out: Counter[str] = Counter()
    good, placed, twice = labelled([drawn_task()], ["blue fish", "red star"], left_out)
    assert good.classes == (2, 1)
    assert (good.masks == [square(10, 10, 30), square(70, 70, 30)]).all()
    assert placed.classes == (2, 2)
    assert twice.classes == (2, 2)
    assert (twice.masks == good.masks).all()
    assert left_out == {"kept": 3, "not kept: missing a concept": 1, "a concept asked for has no mask": 1}


def test_pictures_come_back_as_they_were_saved(tmp_path: Path) -> None:
    given = [painted(square(1, 2, 30), square(60, 60, 9)), painted(square(4, 4, 20), classes=(4,))]
    save(tmp_path / "some.npz", given)
    for one, other in zip(given, load(tmp_path / "some.npz"), strict=True):
        assert (one.image == other.image).all()
        assert (one.masks == other.masks).all()
        assert one.classes == other.classes
    save(tmp_path / "none.npz", [])
    assert load(tmp_path / "none.npz") == []


def test_a_new_class_begins_as_the_mean_of_the_known_ones() -> None:
    torch.manual_seed(1)
    start = downstream_detector.build(6).state_dict()
    model = downstream_detector.for_classes(start, 4, 0)
    boxes = "roi_heads.box_predictor.bbox_pred.weight"
    known = start[boxes].reshape(7, 4, -1)[1:].mean(0)
    assert torch.allclose(model.state_dict()[boxes].reshape(5, 4, -1)[3], known)
    assert torch.equal(model.state_dict()["backbone.0.0.weight"], start["backbone.0.0.weight"])
    scores = model.state_dict()["roi_heads.box_predictor.cls_score.weight"]
    assert torch.equal(scores[0], start["roi_heads.box_predictor.cls_score.weight"][0])
    assert not torch.allclose(scores[1], scores[2])


def answers(pictures: list[Labelled], shift: int = 0) -> list[dict[str, np.ndarray]]:
    return [
        {"masks": np.roll(p.masks, shift, 2), "labels": np.array(p.classes), "scores": np.ones(len(p.classes))}
        for p in pictures
    ]


def test_what_is_right_scores_one_and_what_lies_beside_it_less() -> None:
    pictures = [painted(square(10, 10, 40), square(70, 60, 40)) for _ in range(4)]
    among = {"all": [0, 1, 2, 3], "scenes": [0, 1], "unshown": [2, 3]}
    kinds = {"first": (1,), "second": (2,)}
    right = scored(pictures, answers(pictures), 2, among, kinds)
    assert right == pytest.approx(dict.fromkeys((*among, *kinds, "ap50"), 1.0))
    half = [*answers(pictures[:2]), *answers(pictures[2:], 60)]
    found = scored(pictures, half, 2, among, kinds)
    assert found["scenes"] == pytest.approx(1.0)
    assert found["unshown"] == 0.0
    assert scored(pictures, [{k: v[:0] for k, v in a.items()} for a in half], 2, among, kinds)["all"] == 0.0


def test_the_test_is_split_by_who_has_shown_its_places() -> None:
    pictures = [Labelled(np.zeros((1, 1, 3), np.uint8), np.zeros((0, 1, 1), bool), (), place=p) for p in range(14)]
    found = groups(pictures, SHOWN[:3])
    assert found["scenes"] == list(SHOWN[:3])
    assert set(found["unshown"]) == set(range(14)) - set(SHOWN)
    assert len(found["all"]) == 14


def result(arm: str, count: int, seed: int, ap: float) -> dict[str, Any]:
    names = ("all", "scenes", "shown", "unshown", "combinations", "silhouettes")
    return {"arm": arm, "scenes": count, "seed": seed, "ap": dict.fromkeys(names, ap),
            "told_apart": dict.fromkeys(names, ap / 2), "wall_s": 2.0, "cpu_s": 1.0}  # fmt: skip


def test_a_difference_is_taken_within_each_seed_and_only_whole_seeds_count() -> None:
    rows = [result("real", n, s, 0.1 * s + 0.01 * n) for n in (1, 4) for s in range(4)]
    rows += [result(PASTE, n, s, 0.1 * s + 0.01 * n + 0.05) for n in (1, 4) for s in range(4)]
    found = Results(rows[:-1])
    assert found.seeds == [0, 1, 2]
    gain = found.difference(PASTE, "real", None, mask_ap)
    assert gain is not None
    assert (gain.mean, gain.low, gain.high) == pytest.approx((0.05, 0.05, 0.05))
    level = found.level("real", 4, told_apart)
    assert level is not None
    assert level.mean == pytest.approx(0.07)
    within = found.within("real", 4, told_apart)
    assert within is not None
    assert (within.mean, within.low, within.high) == pytest.approx((0.07, 0.07, 0.07))
    text = "\n".join(tables(found))
    assert "**+0.050 (+0.050 to +0.050)**" in text


def test_the_page_of_a_run_that_is_under_way_is_of_its_whole_seeds(tmp_path: Path) -> None:
    for folder in ("results", "pictures"):
        (tmp_path / folder).mkdir()
    for arm in ("real", PASTE, "variations"):
        for seed in range(3):
            row = result(arm, 1, seed, 0.3 + 0.1 * seed)
            (tmp_path / "results" / f"{arm}{seed}.json").write_text(json.dumps(row))
    told = {"variations": {"left_out": {"kept": 8, "not kept: missing": 2}, "right": 6, "kept": 8}, "wall_s": 60.0}
    (tmp_path / "pictures" / "break_a_scene-0.json").write_text(json.dumps({**told, "cpu_s": 30.0}))
    text = write_page(tmp_path)
    assert "| variations | 10 | 8 | 0.750 | 2 not kept: missing |" in text
    drawn = ElementTree.fromstring((tmp_path / "downstream.svg").read_text(encoding="utf-8"))
    assert [e.text for e in drawn.iter("{http://www.w3.org/2000/svg}title")] == [ARMS[a].words for a in (
        "real", PASTE, "variations")] * 2  # fmt: skip


def test_work_that_left_its_file_is_not_done_again_and_what_needs_it_comes_after(tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    first.write_text("done")
    units = [downstream.Unit(third, (second,), Path.write_text, (third, "x")),
             downstream.Unit(first, (), Path.write_text, (first, "again")),
             downstream.Unit(second, (first,), Path.write_text, (second, "x"))]  # fmt: skip
    downstream.work_off(units, 1)
    assert first.read_text() == "done"
    assert third.exists()


def test_an_arm_waits_for_the_pictures_that_it_trains_on(tmp_path: Path) -> None:
    planned = {unit.file.stem: unit for unit in downstream.units(tmp_path, 1, [1], list(ARMS))}
    needs = {arm: {need.stem for need in planned[f"seed0-scenes1-{arm}"].needs} for arm in ARMS}
    assert needs["real"] == needs[PASTE] == {"start"}
    assert (
        needs["read"]
        == needs["both"]
        == needs["placed"]
        == needs["cut"]
        == needs["moved"]
        == {"start", "break_a_scene-0"}
    )
    assert needs["ti_m"] == {"start", "ti_m-0"}

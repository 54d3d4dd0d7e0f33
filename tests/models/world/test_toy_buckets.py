"""The demo's and the protocol's scenes of toys: held out, well in view, as planned, and said truly."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.training.world.demo_bucket import SCENES, compose, toy_named, write_broken
from models.training.world.protocol_bucket import company, write_bucket
from models.training.world.roster import HELD_OUT, NEW_COMBINATIONS, NEW_SHAPES, TRAINED, Toy
from schemas.masks import decode_mask
from tests.support import ROOT


def test_the_demo_shows_held_out_toys_alone_each_difficulty_once() -> None:
    toys = [toy_named(name) for plan in SCENES for name in plan.toys]
    assert not set(toys) & set(TRAINED)
    assert {toy.silhouette for toy in toys} >= {"butterfly", "cup", "rocket", "bunny"}
    assert len({plan.difficulty for plan in SCENES}) == len(SCENES) == 10
    with pytest.raises(ValueError, match="red striped star is no toy that is held out"):
        toy_named("red striped star")


def test_a_scene_of_the_demo_is_what_its_plan_says() -> None:
    scene = compose(7, seed=7)
    assert scene.image.shape == (300, 240, 3)
    assert scene.objects == (Toy("boat", "pink", "striped"),)
    assert not scene.masks[:, :30].any(), "what a square crop takes away holds no toy"
    assert not scene.masks[:, 270:].any()


def test_one_toy_of_the_demo_stands_before_another() -> None:
    behind, front = compose(8, seed=7).masks
    near = np.pad(front, 1)
    touched = near[2:, 1:-1] | near[:-2, 1:-1] | near[1:-1, 2:] | near[1:-1, :-2]
    assert (touched & behind).sum() > 20


def test_the_first_files_of_the_demo_are_its_scenes(tmp_path: Path) -> None:
    """`unscene run demo --limit 4`, a newcomer's first try, makes something."""
    bucket = ROOT / "demo" / "bucket"
    write_broken(tmp_path, (bucket / "scene-00.jpg").read_bytes())
    names = sorted(file.name for file in bucket.iterdir())
    assert [Path(name).stem for name in names[: len(SCENES)]] == [f"scene-{number:02d}" for number in range(10)]
    assert names[len(SCENES) :] == sorted(file.name for file in tmp_path.iterdir())
    assert all((bucket / file.name).read_bytes() == file.read_bytes() for file in tmp_path.iterdir())


def test_the_protocol_shows_both_kinds_of_new_toys_in_company_of_their_own() -> None:
    scenes = company(seed=11, scenes=48)
    assert [len(toys) for toys in scenes].count(3) == 8
    kinds = [{toy in NEW_SHAPES for toy in toys} for toys in scenes]
    assert [kind == {True} for kind in kinds] == [number % 3 == 2 for number in range(48)]
    assert all(toy in HELD_OUT for toys in scenes for toy in toys)
    for toys in scenes:
        assert len({toy.colour for toy in toys}) == len({toy.silhouette for toy in toys}) == len(toys)
    pairs = [frozenset(pair) for toys in scenes for pair in combinations(toys, 2)]
    assert len(pairs) == len(set(pairs)), "no two scenes share a pair"


def test_the_protocols_annotations_say_what_is_there(tmp_path: Path) -> None:
    concepts = write_bucket(tmp_path, seed=11, scenes=3)
    tree = json.loads((tmp_path / "instances.json").read_text(encoding="utf-8"))
    assert len(tree["annotations"]) == concepts == sum(map(len, company(11, 3)))
    names = {category["id"]: category for category in tree["categories"]}
    for number, toys in enumerate(company(11, 3)):
        marks = [mark for mark in tree["annotations"] if mark["image_id"] == number]
        assert [names[mark["category_id"]]["name"] for mark in marks] == [toy.name for toy in toys]
        kinds = {names[mark["category_id"]]["supercategory"] for mark in marks}
        assert kinds == {"new combination" if toys[0] in NEW_COMBINATIONS else "new shape"}
        with Image.open(tmp_path / f"scene-{number:02d}.png") as image:
            assert image.size == (128, 128)
        masks = [decode_mask(mark["segmentation"]) for mark in marks]
        assert not np.logical_and.reduce(masks).any()
        assert [int(mask.sum()) for mask in masks] == [mark["area"] for mark in marks]

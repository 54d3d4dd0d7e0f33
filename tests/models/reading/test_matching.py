"""Reading toys by their drawings alone: facts, places and sizes of composed scenes, nothing where nothing is, and the
IoU of masks with silhouettes after alignment."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from models.training.reading.alignment import aligned_iou
from models.training.reading.filling import fill
from models.training.reading.matching import DRAWN, read_toys
from models.training.reading.measure import measure_matching, paired
from models.training.world.drawing import draw_toy
from models.training.world.palette import COLOURS
from models.training.world.patterns import PATTERNS
from models.training.world.places.backgrounds import BACKGROUNDS
from models.training.world.poses import Pose
from models.training.world.roster import Toy
from models.training.world.scene import Scene
from models.training.world.world import LINE, ToySettings

TOYS = (
    Toy("star", "red", "striped"),
    Toy("cube", "black", "spotted"),
    Toy("butterfly", "white", "checked"),
    Toy("ball", "yellow", "ringed"),
    Toy("boat", "purple", "plain"),
    Toy("cup", "black", "plain"),
)


def scene_of(*toys: Toy, place: int = 1, height: int = 128, width: int = 128, seed: int = 4) -> Scene:
    settings = ToySettings(height=height, width=width, overlaps=0)
    return settings.open().compose(place % len(BACKGROUNDS), list(toys), np.random.default_rng(seed))


def solid(name: str, pose: Pose, side: int = 128) -> NDArray[np.bool_]:
    return pose.depth(name, side, side) > 0


def words(toy: Toy) -> tuple[str, str, str]:
    return toy.silhouette, toy.colour, toy.pattern


@pytest.mark.parametrize("number", range(len(TOYS)))
def test_a_toy_is_read_sharp_and_soft_and_noisy(number: int) -> None:
    scene = scene_of(TOYS[number], place=3 * number, seed=number)
    noise = np.random.default_rng(number).normal(0, 8, scene.image.shape)
    soft = np.clip(gaussian_filter(scene.image.astype(float), (0.7, 0.7, 0)) + noise, 0, 255).astype(np.uint8)
    for picture in (scene.image, soft):
        (fit,) = read_toys(picture)
        assert fit.words == words(TOYS[number])
        assert fit.score > DRAWN + 0.1
        read, true = solid(fit.silhouette, Pose(fit.x, fit.y, fit.longest, fit.turn)), scene.masks[0]
        assert (read & true).sum() > 0.93 * (read | true).sum()


def test_two_toys_are_read_apart_and_the_better_fit_is_first() -> None:
    scene = scene_of(TOYS[0], TOYS[3], place=2)
    fits = read_toys(scene.image, most=3)
    assert {fit.words for fit in fits[:2]} == {words(TOYS[0]), words(TOYS[3])}
    assert [fit.score for fit in fits] == sorted((fit.score for fit in fits), reverse=True)
    assert all(fit.score < DRAWN for fit in fits[2:])


def test_a_picture_of_another_size_is_read_in_its_own_pixels() -> None:
    scene = scene_of(TOYS[4], height=200, width=260)
    (fit,) = read_toys(scene.image)
    assert fit.words == words(TOYS[4])
    read, true = Pose(fit.x, fit.y, fit.longest, fit.turn).depth("boat", 200, 260) > 0, scene.masks[0]
    assert (read & true).sum() > 0.9 * (read | true).sum()


def test_a_place_alone_scores_below_what_is_drawn() -> None:
    world = ToySettings(toy_counts=(1,)).open()
    assert all(read_toys(world.scene(index).image)[0].score < DRAWN for index in range(4))
    assert read_toys(np.full((128, 128, 3), 90, np.uint8))[0].score < 0.1


def test_every_colour_and_pattern_is_told_from_every_other_under_changed_light() -> None:
    pose = Pose(64, 64, 60)
    for number, (colour, pattern) in enumerate(product(COLOURS, PATTERNS)):
        drawn = draw_toy(Toy("cube", colour, pattern), 60, LINE * 128)
        shown = np.full((128, 128, 3), 0.6)
        pixels = np.asarray(drawn.resize((60, 60), Image.Resampling.BOX), float) / 255
        shown[34:94, 34:94] = shown[34:94, 34:94] * (1 - pixels[..., 3:]) + pixels[..., :3]
        contrast, brightness = (0.92, 1.08)[number % 2], (0.92, 1.08)[number // 2 % 2]
        lit = np.clip(((shown - 0.5) * contrast + 0.5) * brightness, 0, 1)
        filling = fill((lit * 255).astype(np.uint8), "cube", pose)
        assert (filling.colour, filling.pattern) == (colour, pattern)
        assert filling.score > 0.8


@pytest.mark.parametrize("name", ["duck", "arrow", "moon"])
def test_a_silhouette_is_itself_wherever_it_lies(name: str) -> None:
    poses = (
        (Pose(50, 70, 40), 128),
        (Pose(70, 60.4, 83, 13), 128),
        (Pose(64, 60, 60, -7, True), 128),
        (Pose(250, 260, 300, 4), 512),
    )
    assert all(aligned_iou(solid(name, pose, side), name) >= 0.97 for pose, side in poses)


def test_another_silhouette_is_less_and_one_that_is_turned_away_too() -> None:
    assert aligned_iou(solid("tree", Pose(60, 60, 64)), "rocket") < 0.9  # of all pairs nearly the most alike
    assert aligned_iou(solid("duck", Pose(60, 60, 64)), "arrow") < 0.6
    assert aligned_iou(solid("arrow", Pose(60, 60, 64, 40)), "arrow") < 0.8


def test_what_a_mask_lacks_is_missed() -> None:
    mask = solid("cube", Pose(64, 64, 60))
    mask[:, 64:74] = False
    assert 0.75 < aligned_iou(mask, "cube") < 0.9


def test_masks_and_names_that_are_not_there() -> None:
    assert aligned_iou(np.zeros((64, 64), bool), "star") == 0
    with pytest.raises(KeyError):
        aligned_iou(np.ones((8, 8), bool), "dragon")
    assert 0 < aligned_iou(np.eye(1, dtype=bool), "star") <= 1


def test_readings_are_counted_by_toy_and_by_scene() -> None:
    scene = scene_of(TOYS[0], TOYS[3], place=2)
    false = Scene(scene.image, scene.masks, (Toy("star", "red", "plain"), TOYS[3]), scene.background)
    reading = measure_matching([scene, false], [scene.image, scene.image])
    assert (reading.silhouette, reading.colour, reading.pattern) == (1, 1, 0.75)
    assert (reading.toy, reading.scene, reading.drawn) == (0.75, 0.5, 1)


def test_a_toy_is_paired_with_the_reading_of_its_own_silhouette() -> None:
    fits = read_toys(scene_of(TOYS[0], TOYS[3], place=2).image, most=2)
    by_name = {fit.silhouette: fit for fit in fits}
    assert paired((TOYS[1], TOYS[0]), fits) == [(TOYS[1], by_name["ball"]), (TOYS[0], by_name["star"])]
    assert paired((TOYS[1],), []) == [(TOYS[1], None)]

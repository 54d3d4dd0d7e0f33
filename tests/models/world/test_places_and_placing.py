"""How toys get into a scene and what it is called: who hides whom, places at any size, captions, the vocabulary."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import binary_erosion
from transformers import CLIPTokenizer

from models.training.world.drawing import draw_toy
from models.training.world.palette import PALETTE
from models.training.world.places.backgrounds import BACKGROUNDS, paint
from models.training.world.placing import APART, OVERLAPPING, Placing
from models.training.world.roster import Toy
from models.training.world.tokenizer import WordTokens, build, world_words
from models.training.world.world import ToySettings

PLAIN = tuple(Toy(shape, colour, "plain") for shape, colour in (("ball", "red"), ("cube", "blue"), ("moon", "green")))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> CLIPTokenizer:
    return build(tmp_path_factory.mktemp("tokenizer"))


def test_the_later_toy_is_in_front() -> None:
    """The first is as large as the frame: what the second covers is the second's."""
    first, second = (draw_toy(toy, 60, 1.2) for toy in PLAIN[:2])
    rng, placing = np.random.default_rng(0), Placing(60, 60, 1.0, horizon=False)
    below, rows, columns = placing.place(first, 60, rng)
    placing.place(second, 30, rng)
    back, front = placing.visible()
    assert front.any()
    assert not (back & front).any()
    whole = np.zeros((60, 60), bool)
    whole[rows, columns] = below[..., 3] > 0.5
    assert (whole & front).any(), "they do not meet, so nothing is shown"
    assert np.array_equal(back, whole & ~front), "the one in front keeps its pixels, the one behind loses exactly these"


def test_a_scene_shows_the_later_toy_where_they_meet() -> None:
    world, met = ToySettings(overlaps=1.0, shadows=0.0, turns=0.0).open(), 0
    bodies = np.array([PALETTE[toy.colour].body * 255 for toy in PLAIN]).astype(int)
    for seed in range(30):
        scene = world.compose(0, list(PLAIN), np.random.default_rng(seed))
        for number, mask in enumerate(scene.masks):
            inner = scene.image[binary_erosion(mask, iterations=2)].astype(int)
            off = np.abs(inner[:, None] - bodies).max(2)
            assert np.mean(off[:, number] <= 60) > 0.5, "the mask does not cover its toy's colour"
            assert (off.argmin(1)[off.min(1) <= 60] == number).all(), "a pixel shows another toy"
        met += any((np.roll(a, 1, 0) & b).any() for i, a in enumerate(scene.masks) for b in scene.masks[:i])
    assert met >= 5, "toys hardly ever meet, so nothing is shown"


@pytest.mark.parametrize(("overlaps", "most"), [(0.0, APART), (1.0, OVERLAPPING)])
def test_no_toy_hides_more_of_another_than_it_may(overlaps: float, most: float) -> None:
    hidden = []
    pictures = [draw_toy(toy, 30, 1.2) for toy in PLAIN]
    for index in range(60):
        placing = Placing(64, 64, OVERLAPPING if overlaps else APART, horizon=index % 2 == 0)
        rng = np.random.default_rng(index)
        for picture in pictures:
            placing.place(picture, 30, rng)
        lost = [1 - mask.sum() / whole for mask, whole in zip(placing.visible(), placing._whole, strict=True)]
        hidden.append(max(lost))
    assert max(hidden) <= most
    assert max(hidden) > most / 2, "the limit is never neared, so it is not what limits"


def test_backgrounds_look_the_same_at_any_size() -> None:
    for index in range(len(BACKGROUNDS)):
        small = paint(index, 64, 64, np.random.default_rng(5))
        large = paint(index, 256, 256, np.random.default_rng(5)).reshape(64, 4, 64, 4, 3).mean((1, 3))
        assert np.abs(small - large).mean() < 0.03, BACKGROUNDS[index].name


def test_captions_drop_everything_and_the_place_as_often_as_they_say() -> None:
    places = "|".join(phrase for b in BACKGROUNDS for phrase in b.phrases)
    world, rng = ToySettings(height=64, width=64).open(), np.random.default_rng(0)
    scenes = [world.scene(index) for index in range(300)]
    captions = [scene.caption(rng) for scene in scenes for _ in range(10)]
    spoken = [c for c in captions if c]
    assert 0.08 < 1 - len(spoken) / len(captions) < 0.12
    assert 0.12 < np.mean([not re.search(places, c) for c in spoken]) < 0.18


def test_two_toys_are_named_in_either_order() -> None:
    scene = ToySettings(height=64, width=64).open().compose(0, list(PLAIN[:2]), np.random.default_rng(0))
    first, second = (toy.noun for toy in scene.objects)
    rng = np.random.default_rng(1)
    captions = [words for words in (scene.caption(rng).split() for _ in range(80)) if {first, second} <= set(words)]
    assert {words.index(first) < words.index(second) for words in captions} == {True, False}


def test_each_word_of_the_world_is_one_token_and_handles_come_after(tokenizer: CLIPTokenizer, tmp_path: Path) -> None:
    assert [w for w in world_words() if len(tokenizer(w).input_ids) != 3] == []
    assert {"eiffel", "butterfly", "striped", "object", "plain"} <= set(world_words())
    grown = build(tmp_path)
    size = len(grown)
    assert grown.add_tokens(["<asset0>", "<asset1>"]) == 2
    assert grown.convert_tokens_to_ids(["<asset0>", "<asset1>"]) == [size, size + 1]
    assert "<asset0>" in grown.tokenize("a photo of <asset0> and <asset1> at the beach")
    assert len(grown("walrus").input_ids) > 3, "an unknown word still tokenises, by pieces"


def test_word_by_word_is_what_the_tokenizer_gives(tokenizer: CLIPTokenizer) -> None:
    tokens, rng = WordTokens(tokenizer, world_words(), 32), np.random.default_rng(0)
    world = ToySettings(height=64, width=64).open()
    for index in range(40):
        caption = world.scene(index).caption(rng)
        expected = tokenizer(caption, padding="max_length", truncation=True, max_length=32).input_ids
        assert tokens(caption).tolist() == expected, caption

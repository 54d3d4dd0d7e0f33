"""The seedling's world: the same scene twice, honest masks, captions in the product's grammar, held-out sprites.

The sprites are not part of the repository, so flat ellipses stand in for them, one colour each.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from models.training.backgrounds import BACKGROUNDS, paint
from models.training.placing import APART, OVERLAPPING, Placing
from models.training.rosters import FIRST, HELD_OUT, NEAR_TWINS, TRAINING, UNSEEN, SpriteName, plain
from models.training.sprites import load_sprite, named_roster, pack, wide_roster
from models.training.tokenizer import build, world_words
from models.training.world import World, WorldSettings, broad_roster


@pytest.fixture(scope="module")
def sprites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sprites")
    twins = tuple(SpriteName(code, "", "") for codes in NEAR_TWINS.values() for code in codes.split())
    for number, sprite in enumerate(TRAINING + HELD_OUT + twins):
        picture = Image.new("RGBA", (64, 64))
        colour = ((37 * number) % 256, (151 * number) % 256, (97 * number) % 256, 255)
        ImageDraw.Draw(picture).ellipse((4, 12, 59, 51), fill=colour)
        picture.save(folder / f"{sprite.code}.webp", lossless=True)
    return folder


def test_a_scene_depends_on_seed_and_index_alone(sprites: Path) -> None:
    world, again = World(WorldSettings(sprites, seed=3)), World(WorldSettings(sprites, seed=3))
    again.scene(0)
    first, second = world.scene(17), again.scene(17)
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.masks, second.masks)
    assert first.objects == second.objects
    assert not np.array_equal(first.image, World(WorldSettings(sprites, seed=4)).scene(17).image)


def test_masks_are_the_visible_pixels_of_their_objects(sprites: Path) -> None:
    world = World(WorldSettings(sprites, shadows=1.0, object_counts=(0, 0, 0.5, 0.5)))
    for index in range(60):
        scene = world.scene(index)
        assert scene.masks.shape == (len(scene.objects), 64, 64)
        assert scene.masks.sum(0).max(initial=0) <= 1, "two objects claim one pixel"
        for mask, sprite in zip(scene.masks, scene.objects, strict=True):
            solid = np.asarray(load_sprite(sprites, sprite.code, 20).convert("RGB"))[7, 10].astype(int)
            off = np.abs(scene.image[mask].astype(int) - solid).max(1)
            assert np.median(off) <= 32, f"{sprite.noun}: the mask does not cover its colour"
            assert scene.image[mask].std(0).max() < 45, f"{sprite.noun}: the mask holds more than one object"


def test_the_later_object_is_in_front(sprites: Path) -> None:
    """Two objects as large as the frame: what the second covers is the second's, in the picture and in the masks."""
    first, second = load_sprite(sprites, TRAINING[0].code, 60), load_sprite(sprites, TRAINING[1].code, 60)
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


def test_a_scene_shows_the_later_object_where_they_meet(sprites: Path) -> None:
    world = World(WorldSettings(sprites, overlaps=1.0, shadows=0.0, turns=0.0, mirrored=0.0))
    met = 0
    for seed in range(40):
        scene = world.compose(0, [0, 1, 2], np.random.default_rng(seed))
        drawn = [load_sprite(sprites, sprite.code, 40).convert("RGB") for sprite in TRAINING[:3]]
        solid = [np.asarray(picture)[15, 20].astype(int) for picture in drawn]
        for mask, colour in zip(scene.masks, solid, strict=True):
            inner = mask.copy()
            for axis, shift in ((0, 1), (0, -1), (1, 1), (1, -1)):  # edges are mixed with what is beside them
                inner &= np.roll(mask, shift, axis)
            assert np.abs(scene.image[inner].astype(int) - colour).max() <= 48, "a pixel shows another object"
        met += any((np.roll(a, 1, 0) & b).any() for i, a in enumerate(scene.masks) for b in scene.masks[:i])
    assert met >= 5, "objects hardly ever meet, so nothing is shown"


def test_beside_objects_and_their_soft_edges_a_scene_is_its_ground(sprites: Path) -> None:
    world = World(WorldSettings(sprites, shadows=0.0))
    for seed in range(20):
        scene = world.compose(seed % len(BACKGROUNDS), [0, 1], np.random.default_rng(seed))
        bare = world.compose(seed % len(BACKGROUNDS), [], np.random.default_rng(seed))
        near = scene.masks.any(0)
        for _ in range(2):
            for axis, shift in ((0, 1), (0, -1), (1, 1), (1, -1)):
                near = near | np.roll(near, shift, axis)
        assert np.array_equal(scene.image[~near], bare.image[~near])


@pytest.mark.parametrize(("overlaps", "most"), [(0.0, 0.05), (1.0, 0.30)])
def test_no_object_hides_more_of_another_than_it_may(sprites: Path, overlaps: float, most: float) -> None:
    hidden = []
    for index in range(60):
        placing = Placing(64, 64, OVERLAPPING if overlaps else APART, horizon=index % 2 == 0)
        rng = np.random.default_rng(index)
        for number in range(3):
            placing.place(load_sprite(sprites, TRAINING[number].code, 80), 30, rng)
        lost = [1 - mask.sum() / whole for mask, whole in zip(placing.visible(), placing._whole, strict=True)]
        hidden.append(max(lost))
    assert max(hidden) <= most
    assert max(hidden) > most / 2, "the limit is never neared, so it is not what limits"


def test_held_out_sprites_are_never_trained_on(sprites: Path) -> None:
    assert not {s.code for s in TRAINING} & {s.code for s in HELD_OUT}
    assert not {s.noun for s in TRAINING} & {s.noun for s in HELD_OUT}
    assert not {plain(s.code) for s in TRAINING} & UNSEEN
    wide = {s.code for s in wide_roster(sprites)}
    assert wide == {s.code for s in TRAINING}, "the wide roster of this folder is what is not held out, nor its twin"
    assert set(NEAR_TWINS) <= {s.noun for s in HELD_OUT}
    assert len(named_roster(sprites)) == len(TRAINING) + len(HELD_OUT)


def test_captions_keep_to_the_grammar_and_drop_words_as_often_as_they_say(sprites: Path) -> None:
    nouns = "|".join(["object", *(s.noun for s in TRAINING), *{s.kind for s in TRAINING}])
    colours = "|".join({s.colour for s in TRAINING} - {""})
    places = "|".join(phrase for b in BACKGROUNDS for phrase in b.phrases)
    thing = rf"((an? )?(({colours}) )?({nouns}))"
    grammar = re.compile(rf"|a photo( of {thing}( and {thing}){{0,2}})?( ({places}))?")
    world, rng = World(WorldSettings(sprites)), np.random.default_rng(0)
    scenes = [world.scene(index) for index in range(300)]
    captions = [scene.caption(rng) for scene in scenes for _ in range(10)]
    assert [c for c in captions if not grammar.fullmatch(c)] == []
    spoken = [c for c in captions if c]
    assert 0.08 < 1 - len(spoken) / len(captions) < 0.12
    assert 0.12 < np.mean([not re.search(places, c) for c in spoken]) < 0.18
    assert np.mean(["object" in c for c in spoken]) > 0.12


def test_two_objects_are_named_in_either_order(sprites: Path) -> None:
    scene = World(WorldSettings(sprites)).compose(0, [0, 1], np.random.default_rng(0))
    first, second = (sprite.noun for sprite in scene.objects)
    rng = np.random.default_rng(1)
    captions = [words for words in (scene.caption(rng).split() for _ in range(80)) if {first, second} <= set(words)]
    assert {words.index(first) < words.index(second) for words in captions} == {True, False}


def test_the_broad_roster_is_drawn_from_in_its_shares_and_holds_nothing_held_out(sprites: Path, tmp_path: Path) -> None:
    assets = tmp_path / "assets"
    shutil.copytree(sprites, assets)
    for code in ("1f9ff", "1fa80", "1fa94"):  # named nowhere
        shutil.copy(assets / f"{TRAINING[0].code}.webp", assets / f"{code}.webp")
    broad = broad_roster(assets)
    assert not {plain(sprite.code) for sprite in broad["roster"]} & UNSEEN
    world = World(WorldSettings(assets, shadows=0.0, **broad))
    drawn = [sprite for index in range(600) for sprite in world.scene(index).objects]
    first = np.mean([sprite in FIRST for sprite in drawn])
    nameless = np.mean([sprite.noun == "object" for sprite in drawn])
    assert 0.30 < first < 0.42, "35 % of the objects are of the first 24"
    assert 0.12 < nameless < 0.24, "20 % have no name"
    assert {sprite.code for sprite in drawn if sprite.noun == "object"} == {"1f9ff", "1fa80", "1fa94"}


def test_backgrounds_look_the_same_at_any_size() -> None:
    for index in range(len(BACKGROUNDS)):
        small = paint(index, 64, 64, np.random.default_rng(5))
        large = paint(index, 256, 256, np.random.default_rng(5)).reshape(64, 4, 64, 4, 3).mean((1, 3))
        assert np.abs(small - large).mean() < 0.03, BACKGROUNDS[index].name


def test_packed_sprites_are_the_same_sprites(sprites: Path, tmp_path: Path) -> None:
    packed = tmp_path / "sprites.npz"
    assert pack(sprites, packed, 56) == len(named_roster(sprites)) == len(named_roster(packed))
    first, second = (np.asarray(load_sprite(folder, TRAINING[3].code, 56), int) for folder in (sprites, packed))
    assert first.shape == second.shape
    assert np.abs(first - second).max() <= 2
    with pytest.raises(FileNotFoundError, match="npm pack"):
        load_sprite(packed, "1f9ff", 56)


def test_a_missing_sprite_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="npm pack"):
        World(WorldSettings(tmp_path))


def test_each_word_of_the_world_is_one_token_and_handles_come_after(tmp_path: Path) -> None:
    tokenizer = build(tmp_path)
    assert [w for w in world_words() if len(tokenizer(w).input_ids) != 3] == []
    assert {"teddy", "eiffel", "clothing"} <= set(world_words())
    size = len(tokenizer)
    assert tokenizer.add_tokens(["<asset0>", "<asset1>"]) == 2
    assert tokenizer.convert_tokens_to_ids(["<asset0>", "<asset1>"]) == [size, size + 1]
    assert "<asset0>" in tokenizer.tokenize("a photo of <asset0> and <asset1> at the beach")
    assert len(tokenizer("walrus").input_ids) > 3, "an unknown word still tokenises, by pieces"
